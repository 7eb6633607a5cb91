"""Bundles are signed by the service and verified by whoever has them."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.e2e.calls import BYTES, submit, wait
from tests.e2e.commands import Cli
from tests.e2e.servers import Server


def make_key(folder: Path, name: str) -> tuple[Path, Path]:
    key = Ed25519PrivateKey.generate()
    private, public = folder / f"{name}.key", folder / f"{name}.pub"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        make_key(folder, name)
    return folder


@pytest.fixture(scope="module")
def signed(make_server: Any, keys: Path) -> bytes:
    """A bundle of a service that signs, as one .zip."""
    server: Server = make_server(signing_key=keys / "ours.key")
    with server.client() as http:
        job = wait(http, submit(http, BYTES)["id"])
        assert "signature.json" in {file["name"] for file in job["result"]["files"]}
        answer = http.get(f"/jobs/{job['id']}/artifact")
        return answer.content


@pytest.fixture
def bundle(cli: Cli, signed: bytes) -> Path:
    """The same, unpacked."""
    (cli.folder / "bundle.zip").write_bytes(signed)
    with zipfile.ZipFile(cli.folder / "bundle.zip") as archive:
        archive.extractall(cli.folder / "bundle")
    return cli.folder / "bundle"


def test_a_signed_bundle(cli: Cli, bundle: Path, keys: Path) -> None:
    for what in ("bundle", "bundle.zip"):
        verified = cli("verify", what, "--key", keys / "ours.pub")
        assert (verified.status, verified.err) == (0, "")
        assert "signed with the key given" in verified.out
    unproven = cli("verify", bundle)
    assert unproven.status == 0
    assert "give --key" in unproven.out
    stranger = cli("verify", bundle, "--key", keys / "theirs.pub", "--json")
    assert stranger.status == 1
    assert "signed with another key" in stranger.err
    assert json.loads(stranger.out)["faults"]
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (manifest["seed"], manifest["format"]) == (0, 1)
    assert manifest["versions"]["simd"]


def test_one_of_the_command_line_is_not_signed(cli: Cli, keys: Path) -> None:
    assert cli("compress", "tiny.onnx").status == 0
    plain = cli("verify", "tiny-sparsebook")
    assert (plain.status, "not signed" in plain.out) == (0, True)
    wanted = cli("verify", "tiny-sparsebook", "--key", keys / "ours.pub")
    assert (wanted.status, "it is not signed" in wanted.err) == (1, True)


def change(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def resign(bundle: Path) -> None:
    """What a thief would do: mend the manifest, and leave the signature."""
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "model.onnx").write_bytes(b"mine")
    manifest["files"]["model.onnx"] = {"bytes": 4, "sha256": "0" * 64}
    (bundle / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    ("harm", "mentions"),
    [
        (lambda at: change(at / "model.onnx"), "model.onnx is not the file"),
        (lambda at: change(at / "report.json"), "report.json is not the file that was signed"),
        (lambda at: change(at / "report.html"), "report.html is not the file that was signed"),
        (lambda at: (at / "model.onnx").unlink(), "model.onnx is missing"),
        (lambda at: (at / "lib/more").write_text("x"), "lib/more is not in the manifest"),
        (lambda at: (at / "signature.json").unlink(), "it is not signed"),
        (lambda at: (at / "signature.json").write_text("{}"), "signature.json: Field required"),
        (resign, "manifest.json is not the file that was signed"),
    ],
)
def test_what_is_wrong_is_said(
    cli: Cli, bundle: Path, keys: Path, harm: Any, mentions: str
) -> None:
    harm(bundle)
    found = cli("verify", bundle, "--key", keys / "ours.pub")
    assert (found.status, mentions in found.err) == (1, True), found.err
    assert "Traceback" not in found.err
    shutil.make_archive(str(cli.folder / "harmed"), "zip", bundle)
    assert cli("verify", "harmed.zip", "--key", keys / "ours.pub").status == 1


def test_a_payload_is_looked_into(cli: Cli) -> None:
    assert cli("compress", "tiny.onnx").status == 0
    path = cli.folder / "tiny-sparsebook/model.onnx"
    content = path.read_bytes()
    at = content.index(b"SBKP") + 200
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    found = cli("verify", "tiny-sparsebook")
    assert found.status == 1
    assert "payload: checksum" in found.err


def test_what_is_no_bundle(cli: Cli, keys: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with zipfile.ZipFile(tmp_path / "out.zip", "w") as archive:
        archive.writestr("../out", "x")
    for what in ("tiny.onnx", "empty", "nowhere", "out.zip"):
        found = cli("verify", what)
        assert found.status == 2, found.err
        assert "Traceback" not in found.err
    assert not (tmp_path.parent / "out").exists()
    (tmp_path / "made").mkdir()
    (tmp_path / "made/manifest.json").write_text('{"files": {}}')
    assert cli("verify", "made", "--key", "tiny.onnx").status == 2
    assert cli("verify", "made", "--key", keys / "ours.key").status == 2


def test_a_service_without_a_usable_key_does_not_start(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SPARSEBOOK_SIGNING_KEY", str(cli.folder / "tiny.onnx"))
    refused = cli("serve", "--port", "0", "--data-dir", "data")
    assert (refused.status, "SPARSEBOOK_SIGNING_KEY" in refused.err) == (2, True)

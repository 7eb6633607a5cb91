"""Operator libraries of several platforms: listed, handed out, and in bundles."""

import hashlib
import io
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sparsebook_runtime import library_path, platform_tag
from tests.e2e.calls import BYTES, assert_problem, submit, wait
from tests.e2e.conftest import MakeServer

OTHERS = {
    "linux-aarch64": "libsparsebook.so",
    "macos-arm64": "libsparsebook.dylib",
    "windows-x86_64": "sparsebook.dll",
}


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make platforms` fills it; what is never loaded here holds only its platform's name."""
    folder = tmp_path_factory.mktemp("platforms")
    for platform, name in OTHERS.items():
        (folder / platform).mkdir()
        (folder / platform / name).write_text(platform)
    (folder / platform_tag()).mkdir()
    shutil.copy(library_path(), folder / platform_tag())
    with (folder / platform_tag() / library_path().name).open("ab") as library:
        library.write(b"the folder's")
    return folder


@pytest.fixture(scope="module")
def http(make_server: MakeServer, runtimes: Path) -> Iterator[httpx.Client]:
    with make_server(runtimes=runtimes).client() as client:
        yield client


def test_all_are_listed_and_handed_out(http: httpx.Client, runtimes: Path) -> None:
    listed = {one["platform"]: one for one in http.get("/runtime").json()["libraries"]}
    assert set(listed) == {platform_tag(), *OTHERS}
    for platform, library in listed.items():
        content = (runtimes / platform / library["name"]).read_bytes()
        answer = http.get(library["href"])
        assert answer.content == content
        assert f'filename="{library["name"]}"' in answer.headers["content-disposition"]
        digest = hashlib.sha256(content).hexdigest()
        assert (library["bytes"], library["sha256"]) == (len(content), digest)
    untested = {name for name, library in listed.items() if not library["tested"]}
    assert untested == {"macos-arm64", "windows-x86_64"}
    assert all(listed[name]["remark"].startswith("untested") for name in untested)
    assert_problem(http.get("/runtime/amiga"), 404, "not-found")


def test_one_that_was_built_again_is_handed_out(http: httpx.Client, runtimes: Path) -> None:
    path = runtimes / "windows-x86_64/sparsebook.dll"
    http.get("/runtime")
    path.write_text("built again")
    (again,) = [
        one
        for one in http.get("/runtime").json()["libraries"]
        if one["platform"] == "windows-x86_64"
    ]
    assert again["sha256"] == hashlib.sha256(b"built again").hexdigest()
    assert http.get(again["href"]).content == b"built again"


def test_a_bundle_has_them_all(http: httpx.Client, runtimes: Path) -> None:
    job = wait(http, submit(http, BYTES)["id"])
    bundle = zipfile.ZipFile(io.BytesIO(http.get(f"/jobs/{job['id']}/artifact").content))
    names = {**OTHERS, platform_tag(): library_path().name}
    assert {name for name in bundle.namelist() if name.startswith("lib/")} == {
        f"lib/{platform}/{name}" for platform, name in names.items()
    }
    for platform, name in names.items():
        assert bundle.read(f"lib/{platform}/{name}") == (runtimes / platform / name).read_bytes()
    assert job["result"]["metrics"]


def test_a_portable_bundle_has_none(http: httpx.Client) -> None:
    job = wait(http, submit(http, BYTES, params={"config": '{"output": "portable"}'})["id"])
    assert not [one for one in job["result"]["files"] if one["name"].startswith("lib/")]

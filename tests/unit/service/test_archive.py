import io
import stat
import warnings
import zipfile
from pathlib import Path

import pytest

from sparsebook_compressor.errors import ExternalDataOutside, NotOnnx, TooLarge
from sparsebook_service.jobs.archive import looks_like_zip, pack, unpack_model

MODEL = ("model.onnx", b"model")


def write(path: Path, *members: tuple[str | zipfile.ZipInfo, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def unpack(path: Path, *, max_bytes: int = 100 << 20, max_ratio: int = 200) -> Path:
    return unpack_model(path, path.parent / "out", max_bytes=max_bytes, max_ratio=max_ratio)


def test_unpacks_a_model_with_its_data(tmp_path: Path) -> None:
    path = write(tmp_path / "m.zip", ("a/net.ONNX", b"net"), ("a/", b""), ("a/w/1", b"weights"))
    model = unpack(path)
    assert model == tmp_path / "out/a/net.ONNX"
    assert model.read_bytes() == b"net"
    assert (tmp_path / "out/a/w/1").read_bytes() == b"weights"


@pytest.mark.parametrize("name", ["../m", "/m", "a/../../m", "a\\m", "a//m", "model.onnx", "m\0x"])
def test_refuses_bad_and_repeated_names(tmp_path: Path, name: str) -> None:
    member = zipfile.ZipInfo("placeholder")
    member.filename = member.orig_filename = name
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Duplicate name")  # zipfile doubts what is meant
        path = write(tmp_path / "m.zip", MODEL, (member, b"x"))
    with pytest.raises(ExternalDataOutside):
        unpack(path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_refuses_what_is_no_file(tmp_path: Path, kind: int) -> None:
    link = zipfile.ZipInfo("weights.bin")
    link.external_attr = (kind | 0o777) << 16
    path = write(tmp_path / "m.zip", MODEL, (link, b"/etc/passwd"))
    with pytest.raises(ExternalDataOutside, match=r"weights\.bin.*link"):
        unpack(path)


def test_wants_exactly_one_model(tmp_path: Path) -> None:
    with pytest.raises(NotOnnx, match=r"no \.onnx file"):
        unpack(write(tmp_path / "none.zip", ("w", b"x")))
    with pytest.raises(NotOnnx, match=r"2 \.onnx files"):
        unpack(write(tmp_path / "two.zip", MODEL, ("b.onnx", b"x")))


def test_limits(tmp_path: Path) -> None:
    path = write(tmp_path / "m.zip", MODEL, ("w", bytes(30 << 20)))
    with pytest.raises(TooLarge, match="at most 1000 are"):
        unpack(path, max_bytes=1000)
    with pytest.raises(TooLarge, match="times its size"):
        unpack(path)
    assert not (tmp_path / "out").exists()
    assert unpack(path, max_ratio=2000).read_bytes() == b"model"


def test_many_members(tmp_path: Path) -> None:
    members = [(f"w{number}", b"") for number in range(10_000)]
    with pytest.raises(TooLarge, match="10001 files"):
        unpack(write(tmp_path / "m.zip", MODEL, *members))


@pytest.mark.parametrize("declared", [10, 1 << 30])
def test_sizes_that_lie(tmp_path: Path, declared: int) -> None:
    """The directory declares another size than what comes out."""
    path = write(tmp_path / "m.zip", MODEL, ("w", bytes(5000)))
    content = bytearray(path.read_bytes())
    real = (5000).to_bytes(4, "little")
    assert content.count(real) == 2  # of the member's own header and of the directory
    path.write_bytes(content.replace(real, declared.to_bytes(4, "little")))
    with pytest.raises(NotOnnx):
        unpack(path, max_bytes=2 << 30, max_ratio=1 << 30)


def test_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "m.zip", MODEL, ("w", bytes(range(256)) * 50))
    whole = path.read_bytes()
    at = whole.index(b"w", 60) + 40
    for damaged in (whole[:-30], b"", whole[:at] + b"\xff\xff\xff" + whole[at + 3 :], b"PK\3\4"):
        path.write_bytes(damaged)
        with pytest.raises(NotOnnx, match="ZIP"):
            unpack(path)
        for left in (tmp_path / "out").rglob("*"):
            left.unlink()
        if (tmp_path / "out").exists():
            (tmp_path / "out").rmdir()


def test_encrypted(tmp_path: Path) -> None:
    path = write(tmp_path / "m.zip", MODEL)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    with pytest.raises(NotOnnx, match="encrypted"):
        unpack(path)


def test_known_by_name_or_content(tmp_path: Path) -> None:
    path = write(tmp_path / "model.onnx", MODEL)
    assert looks_like_zip(path)
    path.write_bytes(b"\x08\x08")
    assert not looks_like_zip(path)
    assert looks_like_zip(path.rename(tmp_path / "m.ZIP"))


def test_pack_is_deterministic_and_stored(tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "model.onnx").write_bytes(bytes(100_000))
    (tmp_path / "lib/x.so").write_bytes(b"so")
    packed = []
    for round_, names in enumerate((["model.onnx", "lib/x.so"], ["lib/x.so", "model.onnx"])):
        target = tmp_path / f"{round_}.zip"
        pack(tmp_path, names, target)
        packed.append(target.read_bytes())
    assert packed[0] == packed[1]
    archive = zipfile.ZipFile(io.BytesIO(packed[0]))
    assert archive.testzip() is None
    assert archive.namelist() == ["lib/x.so", "model.onnx"]
    for member in archive.infolist():
        assert member.compress_type == zipfile.ZIP_STORED
        assert stat.S_IMODE(member.external_attr >> 16) == 0o644

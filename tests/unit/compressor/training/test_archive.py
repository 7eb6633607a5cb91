"""Reading .npz files block by block: every array as NumPy reads it, every damage refused, memory flat."""

import io
import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sparsebook_compressor.errors import BadData
from sparsebook_compressor.feeds import InputSpec
from sparsebook_compressor.training.data import archive
from sparsebook_compressor.training.data.archive import Archive
from sparsebook_compressor.training.data.dataset import Dataset

SHAPES = [(1,), (7,), (7, 1), (5, 3, 2), (3, 1000), (100, 3)]
DTYPES = ["<f4", ">f4", "<f8", "f2", "i8", "u1", "?", "<u2"]


def read(path: Path, name: str, scratch: Path) -> np.ndarray:
    found = Archive(path)
    return np.concatenate(list(found.blocks(found.member(name), scratch)))


@given(st.sampled_from(SHAPES), st.sampled_from(DTYPES), st.booleans(), st.booleans())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arrays_are_read_as_numpy_reads_them(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    dtype: str,
    fortran: bool,
    packed: bool,
) -> None:
    monkeypatch.setattr(archive, "BLOCK_BYTES", 64)
    values = np.random.default_rng(0).integers(0, 100, shape).astype(dtype)
    path = tmp_path / "data.npz"
    save = np.savez_compressed if packed else np.savez
    save(path, a=np.asfortranarray(values) if fortran else values)
    found = read(path, "a", tmp_path)
    assert found.dtype == values.dtype.newbyteorder("=")
    assert (found == values).all()
    assert list(tmp_path.iterdir()) == [path], "no scratch file stays behind"


@pytest.mark.parametrize("fortran", [False, True])
def test_memory_stays_flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fortran: bool) -> None:
    monkeypatch.setattr(archive, "BLOCK_BYTES", 1 << 16)
    values = np.random.default_rng(0).standard_normal((4000, 1000)).astype(np.float32)
    path = tmp_path / "data.npz"
    np.savez(path, a=np.asfortranarray(values) if fortran else values)
    size, total = values.nbytes, float(values.sum(dtype=np.float64))
    del values
    found = Archive(path)
    member = found.member("a")
    tracemalloc.start()
    blocks = found.blocks(member, tmp_path)
    summed = sum(float(block.sum(dtype=np.float64)) for block in blocks)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert summed == pytest.approx(total)
    assert peak < size / 20


def npy(header: str, body: bytes = b"", version: bytes = b"\x01\x00") -> bytes:
    text = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + body


def described(shape: str, descr: str = "<f4") -> str:
    return f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}"


def zipped(*members: tuple[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, data in members:
            file.writestr(name, data)
    return buffer.getvalue()


MEMBERS = {
    "text": b"hello",
    "empty": b"",
    "only the magic": b"\x93NUMPY\x01\x00",
    "a header cut short": npy(described("(3, 4)"))[:40],
    "no header that Python reads": npy("import os"),
    "more than it holds": npy(described("(3, 4)"), bytes(40)),
    "less than it holds": npy(described("(3, 4)"), bytes(60)),
    "absurd": npy(described("(1099511627776, 3, 4)")),
    "a negative shape": npy(described("(-3, -4)"), bytes(48)),
    "no samples": npy(described("(0, 4)")),
    "samples of nothing": npy(described("(4000000000, 0)")),
    "one number": npy(described("()"), bytes(4)),
    "an unknown dtype": npy(described("(3,)", "<q9"), bytes(24)),
    "named fields": npy(described("(3,)"), bytes(12), b"\x03\x00"),
    "an open bracket": npy("{'descr': ("),
    "a key that is none": npy("{[]: 1}"),
    "brackets without end": npy("(" * 100),
    "objects": npy(described("(3,)", "|O"), b"\x80\x04]."),
}


@pytest.mark.parametrize("kind", MEMBERS)
def test_members_that_are_no_arrays_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(zipped(("a.npy", MEMBERS[kind])))
    with pytest.raises(BadData, match=r"data\.npz") as caught:
        read(path, "a", tmp_path)
    words = {
        "objects": "pickled",
        "absurd": "takes",
        "no samples": "empty",
        "one number": "samples go on the first axis",
        "a negative shape": r"shape [-3, -4], which no array has",
        "text": "array 'a' cannot be read: ",
        "an open bracket": "save it anew with numpy.savez",
    }
    assert words.get(kind, "") in str(caught.value)


def single_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(5))
    return buffer.getvalue()


WHOLE = zipped(("a.npy", npy(described("(3, 4)"), bytes(48))))
FILES = {
    "empty": b"",
    "text": b"image,ids\n1,2\n",
    "a single array": single_array(),
    "a pickle": b"\x80\x04K\x05.",
    "a cut archive": WHOLE[:-30],
    "half an archive": WHOLE[: len(WHOLE) // 2],
    "an empty archive": b"PK\x05\x06" + bytes(18),
}


@pytest.mark.parametrize("kind", FILES)
def test_files_that_are_no_archives_are_refused(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(FILES[kind])
    spec = InputSpec("a", np.dtype(np.float32), (None, 4), ("n", ""))
    with pytest.raises(BadData, match=r"data\.npz"):
        Dataset.prepare([path], (spec,), tmp_path / "out", 0)


def test_an_encrypted_array_is_refused_as_such(tmp_path: Path) -> None:
    """Bit 0 of the flags, in the header of the member and in the directory."""
    whole = bytearray(zipped(("a.npy", npy(described("(3,)"), bytes(12)))))
    whole[6] |= 1
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    path = tmp_path / "data.npz"
    path.write_bytes(bytes(whole))
    with pytest.raises(BadData, match=r"data\.npz: array 'a' is encrypted; save it without"):
        Archive(path).member("a")


def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.npz"
    os.mkfifo(pipe)
    for path, words in (
        (pipe, "is not a file"),
        (tmp_path, "is not a file"),
        (tmp_path / "missing.npz", "does not exist"),
    ):
        with pytest.raises(BadData, match=f"{path.name}: not a readable .*: it {words}"):
            Archive(path)


def test_names_of_any_length_are_told_in_a_line(tmp_path: Path) -> None:
    spec = InputSpec("a", np.dtype(np.float32), (None, 4), ("n", ""))
    path = tmp_path / "data.npz"
    np.savez(path, **{"n" * 50_000: np.zeros(3), "x\x1b[31m\n": np.zeros(3)})
    with pytest.raises(BadData, match=r"found 'n{59}…, 'x\\x1b\[31m\\n'$"):
        Dataset.prepare([path], (spec,), tmp_path / "out", 0)


def test_an_array_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    one = npy(described("(1,)"), bytes(4))
    path = tmp_path / "data.npz"
    with pytest.warns(UserWarning, match="Duplicate"):
        path.write_bytes(zipped(("a.npy", one), ("a.npy", one)))
    with pytest.raises(BadData, match="twice"):
        Archive(path)


def test_more_members_than_any_model_has_inputs_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(zipped(*((f"{i}.npy", b"") for i in range(archive.MOST_MEMBERS + 1))))
    with pytest.raises(BadData, match="4097 members"):
        Archive(path)


def test_an_archive_made_to_fill_the_disk_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive, "_HARMLESS_BYTES", 1 << 20)
    path = tmp_path / "data.npz"
    np.savez_compressed(path, a=np.zeros((1000, 1000)), b=np.random.default_rng(0).random(100))
    found = Archive(path)
    with pytest.raises(BadData, match="unpack to 8000"):
        found.check_proportion([found.member("a")])
    found.check_proportion([found.member("b")])


def test_a_sample_beyond_all_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, a=np.zeros((3, 100), np.float32))
    monkeypatch.setattr(archive, "MOST_SAMPLE_BYTES", 399)
    with pytest.raises(BadData, match="399 bytes each"):
        Archive(path).member("a")
    monkeypatch.setattr(archive, "MOST_SAMPLES", 2)
    with pytest.raises(BadData, match="at most 2 samples"):
        Archive(path).member("a")


def test_damage_anywhere_is_refused_or_harmless(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, a=np.arange(600).reshape(20, 30), b=np.arange(20.0))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole)
        for at in rng.integers(0, len(whole), rng.integers(1, 4)):
            damaged[at] = rng.integers(0, 256)
        path.write_bytes(bytes(damaged))
        try:
            found = Archive(path)
            for name in found.names:
                for _ in found.blocks(found.member(name), tmp_path):
                    pass
        except BadData:
            refused += 1
    assert refused > 150

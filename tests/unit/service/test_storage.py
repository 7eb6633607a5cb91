import asyncio
from pathlib import Path
from typing import cast

import obstore
import pytest
from obstore.exceptions import GenericError
from obstore.store import MemoryStore, S3Store

from sparsebook_compressor.errors import StorageFull
from sparsebook_service.s3 import S3Storage
from sparsebook_service.storage import PART_BYTES, Storage, full_disk_named


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "files")


def files(storage: Storage) -> list[Path]:
    return [path for path in storage.local("").rglob("*") if path.is_file()]


async def write(storage: Storage, key: str, chunks: list[bytes]) -> None:
    async with storage.writer(key) as writer:
        for chunk in chunks:
            await writer.write(chunk)


def test_writes_and_reads(storage: Storage, tmp_path: Path) -> None:
    big = bytes(range(256)) * 80_000
    asyncio.run(write(storage, "jobs/a/x", [big[:5], big[5:]]))
    (tmp_path / "y").write_bytes(b"hello")
    storage.put("jobs/a/deep/y", tmp_path / "y")

    async def read(start: int, end: int) -> bytes:
        return b"".join([chunk async for chunk in storage.stream("jobs/a/x", start, end)])

    assert asyncio.run(read(0, len(big))) == big
    assert asyncio.run(read(1_000_000, 9_000_001)) == big[1_000_000:9_000_001]
    assert asyncio.run(storage.read("jobs/a/deep/y")) == b"hello"
    assert storage.local("jobs/a/deep/y").read_bytes() == b"hello"
    assert storage.folders("jobs") == ["a"]
    storage.remove("jobs/a")
    storage.remove("jobs/a")
    assert (files(storage), storage.folders("jobs"), storage.folders("none")) == ([], [], [])


def test_an_interrupted_file_never_appears(storage: Storage) -> None:
    async def fail() -> None:
        async with storage.writer("jobs/a/x") as writer:
            await writer.write(bytes(2 * PART_BYTES))
            assert [path.name for path in files(storage)] == ["x#1"]
            raise KeyError

    with pytest.raises(KeyError):
        asyncio.run(fail())
    assert files(storage) == []


def test_a_copy_in_that_is_not_wanted_any_more_stops_and_leaves_nothing(
    storage: Storage, tmp_path: Path
) -> None:
    (tmp_path / "big").write_bytes(bytes(3 * PART_BYTES))
    (tmp_path / "small").write_bytes(b"x")
    looks = 0

    def unwanted() -> None:
        nonlocal looks
        looks += 1
        if name == "small" or looks == 12:
            raise KeyError

    for name in ("big", "small"):
        with pytest.raises(KeyError):
            storage.put(f"jobs/a/{name}", tmp_path / name, unwanted)
        assert files(storage) == []
    assert looks == 13
    storage.put("jobs/a/big", tmp_path / "big")
    with pytest.raises(KeyError):
        storage.get("jobs/a/big", tmp_path / "out/big", unwanted_at_once)


def unwanted_at_once() -> None:
    raise KeyError


def test_a_full_disk_is_named() -> None:
    with (
        pytest.raises(StorageFull, match="while writing the thing"),
        full_disk_named("the thing"),
        Path("/dev/full").open("wb") as file,
    ):
        file.write(b"x" * 100_000)
    with pytest.raises(StorageFull), full_disk_named("x"):
        raise GenericError("Unable to copy data to file: No space left on device (os error 28)")


def test_other_faults_are_left_alone() -> None:
    with pytest.raises(FileNotFoundError), full_disk_named("x"):
        Path("/none").read_bytes()
    with pytest.raises(GenericError), full_disk_named("x"):
        raise GenericError("Input/output error (os error 5)")


def test_parts_are_the_same_in_a_folder_and_in_a_bucket(storage: Storage) -> None:
    bucket = S3Storage.__new__(S3Storage)
    bucket.store = cast("S3Store", MemoryStore())  # lists as a bucket does: keys, and no folders
    for one in (storage, bucket):
        for key in ("jobs/a/input/model/m", "jobs/a/output/x", "jobs/a/output/y", "jobs/b/input/z"):
            obstore.put(one.store, key, b"x")
        assert one.parts("jobs") == {"a": {"input", "output"}, "b": {"input"}}
        assert one.parts("none") == {}

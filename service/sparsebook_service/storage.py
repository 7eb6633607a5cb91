"""Files of jobs and trainings: what was uploaded and what came of it, through obstore."""

import errno
import os
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import obstore
from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from sparsebook_compressor.errors import StorageFull

CHUNK_BYTES = 1 << 20
# What a writer holds in memory before it hands a part over, in a bucket (where a file has 10,000 parts at most) and in a folder; and
# how many parts may be under way.
PART_BYTES = 8 << 20
LOCAL_PART_BYTES = 1 << 20
PARTS_UNDER_WAY = 2

# No space, a quota reached, a file larger than the process may write: in each case there is no room for it.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_REPORTED = re.compile(rf"os error ({'|'.join(map(str, _NO_ROOM))})\b")


def go_on() -> None:
    """Nobody wants to stop it."""


@contextmanager
def full_disk_named(what: str) -> Iterator[None]:
    """Turn "no space left on device", however it is reported, into StorageFull."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise StorageFull(f"no room left on the disk while writing {what}") from error
        raise
    except BaseError as error:  # obstore reports any fault of the file system as GenericError
        if _REPORTED.search(str(error)):
            raise StorageFull(f"no room left on the disk while writing {what}") from error
        raise


class Writer:
    """One file on its way into the storage; it appears whole at the end of the `async with`, or never."""

    def __init__(self, storage: "Storage", key: str) -> None:
        self._key = key
        self._file = obstore.open_writer_async(
            storage.store, key, buffer_size=storage.part_bytes, max_concurrency=PARTS_UNDER_WAY
        )

    async def __aenter__(self) -> "Writer":
        await self._file.__aenter__()
        return self

    async def __aexit__(self, *raised: object) -> None:
        with full_disk_named(self._key.rsplit("/", 1)[-1]):
            await self._file.__aexit__(*raised)

    async def write(self, chunk: bytes) -> None:
        """Append.

        Raises:
            StorageFull: the disk has no room.
        """
        with full_disk_named(self._key.rsplit("/", 1)[-1]):
            await self._file.write(chunk)


class Storage:
    """A tree of immutable files, in a local folder."""

    store: LocalStore | S3Store
    part_bytes = LOCAL_PART_BYTES

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self.store = LocalStore(self._root, mkdir=True, automatic_cleanup=True)

    def writer(self, key: str) -> Writer:
        """Open a new file for writing."""
        return Writer(self, key)

    def put(self, key: str, path: Path, check: Callable[[], None] = go_on) -> None:
        """Copy a local file in; it appears under its key when it is whole.

        Args:
            key: of the new file.
            path: of the local one.
            check: is called after every megabyte; what it raises ends the copy, of which nothing stays.

        Raises:
            FileNotFoundError: there is no such local file.
            StorageFull: the disk has no room.
        """
        with (
            full_disk_named(path.name),
            path.open("rb") as file,
            obstore.open_writer(
                self.store, key, buffer_size=self.part_bytes, max_concurrency=PARTS_UNDER_WAY
            ) as target,
        ):
            while chunk := file.read(CHUNK_BYTES):
                target.write(chunk)
                check()

    def get(self, key: str, path: Path, check: Callable[[], None] = go_on) -> None:
        """Copy a file out to a local path, whose folder is made.

        Args:
            key: of the file.
            path: of the local copy.
            check: is called after every megabyte; what it raises ends the copy.

        Raises:
            FileNotFoundError: there is no such file.
            StorageFull: the disk has no room.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        answer = obstore.get(self.store, key)
        with full_disk_named(path.name), path.open("wb") as file:
            for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                file.write(chunk)
                check()

    def copy(self, key: str, to: str) -> None:
        """Give a file a second key; where the storage can, without a second copy of its bytes. Either can be removed.

        Raises:
            FileNotFoundError: there is no such file.
            StorageFull: the disk has no room.
        """
        with full_disk_named(to.rsplit("/", 1)[-1]):
            obstore.copy(self.store, key, to)

    def take(self, key: str, path: Path) -> None:
        """As `put`, of a local file that nobody changes any more; where the storage is a folder, without a second copy of its bytes."""
        target = self._root / key
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.hardlink_to(path)
        except OSError:  # another disk, or one without such links
            self.put(key, path)

    def size(self, key: str) -> int | None:
        """Bytes of a file that is there whole; None where there is none."""
        try:
            return int(obstore.head(self.store, key)["size"])
        except FileNotFoundError:
            return None

    def content(self, key: str) -> bytes:
        """The whole of a small file. Blocks.

        Raises:
            FileNotFoundError: there is no such file.
        """
        return bytes(obstore.get(self.store, key).bytes())

    async def read(self, key: str) -> bytes:
        """The whole of a small file."""
        answer = await obstore.get_async(self.store, key)
        return bytes(await answer.bytes_async())

    async def stream(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes [start, end) of a file, a chunk at a time."""
        answer = await obstore.get_async(self.store, key, options={"range": (start, end)})
        async for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
            yield bytes(chunk)

    def local(self, key: str) -> Path:
        """Where a file or a folder lies for a process that needs a path."""
        return self._root / key

    def at_hand(self, prefix: str, folder: Path, check: Callable[[], None] = go_on) -> Path:
        """A folder with all that lies below `prefix`, for a process that needs a path.

        Args:
            prefix: of the files.
            folder: that may be made and filled with copies; whoever names it removes it.
            check: is called after every megabyte that is copied; what it raises ends the copy.

        Returns:
            `folder`, or where the files lie already.

        Raises:
            StorageFull: the disk has no room.
        """
        return self.local(prefix)

    def remove(self, prefix: str) -> None:
        """Remove everything below `prefix`, files that are still being written among it; nothing there is no error."""
        shutil.rmtree(self._root / prefix, ignore_errors=True)

    def remove_file(self, key: str) -> None:
        """Remove one file; none there is no error."""
        (self._root / key).unlink(missing_ok=True)

    def folders(self, prefix: str) -> list[str]:
        """The names of what lies directly below `prefix`."""
        folder = self._root / prefix
        return sorted(child.name for child in folder.iterdir()) if folder.is_dir() else []

    def parts(self, prefix: str) -> dict[str, set[str]]:
        """The names of what lies directly below each of the `folders`."""
        return {name: set(self.folders(f"{prefix}/{name}")) for name in self.folders(prefix)}

    def untouched_since(self, prefix: str) -> float:
        """When anything below `prefix` was last written, in seconds since 1970; 0.0 where there is nothing.

        Files that are still being written count.
        """
        newest = 0.0
        # Not `obstore.list`, which leaves out what is still being written.
        for folder, _, files in os.walk(self._root / prefix):
            for path in (Path(folder), *(Path(folder, name) for name in files)):
                with suppress(FileNotFoundError):  # removed since it was listed
                    newest = max(newest, path.stat().st_mtime)
        return newest

    def free_bytes(self) -> int:
        """Room left for new files."""
        return shutil.disk_usage(self._root).free

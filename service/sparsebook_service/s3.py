"""The storage of many hosts: a bucket that speaks S3, below a prefix.

Credentials, region and endpoint come from the usual variables (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`,
`AWS_ENDPOINT_URL`, …) or from the machine's role. What needs a path gets a copy in a folder of the machine's own.
"""

import shutil
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import obstore
from obstore.exceptions import BaseError

from sparsebook_compressor.errors import BadValue
from sparsebook_service.buckets import connect
from sparsebook_service.settings import Settings
from sparsebook_service.storage import PART_BYTES, Storage, full_disk_named, go_on

# A large file is read in requests of this size: each has its own time, and is sent again for itself where it fails.
RANGE_BYTES = PART_BYTES
# A bucket has no size. It is paid for, not run out of.
ROOM_BYTES = 1 << 60


class S3Storage(Storage):
    """A tree of immutable files, in a bucket. A file appears whole, when its upload is completed, or never."""

    part_bytes = PART_BYTES

    def __init__(self, url: str) -> None:
        """Open `s3://BUCKET/PREFIX`.

        Raises:
            BadValue: the bucket cannot be listed.
        """
        self.store = connect(url)
        try:
            obstore.list_with_delimiter(self.store)
        except (BaseError, OSError) as error:
            first = str(error).strip().splitlines()[0]
            raise BadValue(
                f"SPARSEBOOK_STORAGE: {url} cannot be listed: {first}; do the bucket and the AWS_… variables fit?"
            ) from error

    def get(self, key: str, path: Path, check: Callable[[], None] = go_on) -> None:
        """As the base says; the copy is moved to its place when it is whole."""
        path.parent.mkdir(parents=True, exist_ok=True)
        size = self.size(key)
        if size is None:
            raise FileNotFoundError(key)
        partial = path.with_name(f"{path.name}.partial")
        with full_disk_named(path.name):
            with partial.open("wb") as file:
                for start in range(0, size, RANGE_BYTES):
                    length = min(RANGE_BYTES, size - start)
                    file.write(obstore.get_range(self.store, key, start=start, length=length))
                    check()
            partial.rename(path)

    def take(self, key: str, path: Path) -> None:
        """As `put`."""
        self.put(key, path)

    async def stream(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes [start, end) of a file, a chunk at a time."""
        for at in range(start, end, RANGE_BYTES):
            length = min(RANGE_BYTES, end - at)
            yield bytes(await obstore.get_range_async(self.store, key, start=at, length=length))

    def local(self, key: str) -> Path:
        """There is none: `at_hand` makes copies."""
        raise NotImplementedError(f"{key} lies in a bucket")

    def at_hand(self, prefix: str, folder: Path, check: Callable[[], None] = go_on) -> Path:
        """As the base says: all of it is copied, unless `folder` is there already."""
        if folder.exists():
            return folder
        with full_disk_named(folder.name):
            folder.parent.mkdir(parents=True, exist_ok=True)
            making = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=folder.parent))
        try:
            for key in self._below(prefix):
                self.get(key, making / key.removeprefix(f"{prefix}/"), check)
            making.rename(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            if folder.exists():  # somebody else was faster with the same files
                return folder
            raise
        return folder

    def remove(self, prefix: str) -> None:
        """Remove everything below `prefix` that is whole; an upload that was broken off shows nowhere, and expires."""
        obstore.delete(self.store, self._below(prefix))

    def remove_file(self, key: str) -> None:
        """Remove one file; none there is no error."""
        obstore.delete(self.store, [key])

    def folders(self, prefix: str) -> list[str]:
        """The names of what lies directly below `prefix`."""
        found = obstore.list_with_delimiter(self.store, prefix)
        keys = [*found["common_prefixes"], *(file["path"] for file in found["objects"])]
        return sorted(key.removeprefix(f"{prefix}/") for key in keys)

    def parts(self, prefix: str) -> dict[str, set[str]]:
        """As the base says, in one listing: each costs a round trip, and money."""
        found: dict[str, set[str]] = {}
        for page in obstore.list(self.store, prefix):
            for file in page:
                name, _, rest = file["path"].removeprefix(f"{prefix}/").partition("/")
                found.setdefault(name, set()).add(rest.partition("/")[0])
        return found

    def untouched_since(self, prefix: str) -> float:
        """As the base says, of files that are whole: others show nowhere, and cannot be removed."""
        listed = obstore.list(self.store, prefix).collect()
        return max((found["last_modified"].timestamp() for found in listed), default=0.0)

    def free_bytes(self) -> int:
        """There is always room."""
        return ROOM_BYTES

    def _below(self, prefix: str) -> list[str]:
        return [file["path"] for file in obstore.list(self.store, prefix).collect()]


def open_storage(settings: Settings) -> Storage:
    """The storage that the settings name.

    Raises:
        BadValue: the bucket cannot be used.
    """
    return Storage(settings.store_dir) if settings.storage is None else S3Storage(settings.storage)

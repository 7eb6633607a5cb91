"""The room that uploads are promised, against the real table and disk."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from resumable_upload.storage import SQLiteStorage

from sparsebook_compressor.errors import StorageFull, TooLarge
from sparsebook_service.access.caller import ANYBODY, Caller
from sparsebook_service.errors import UploadsFull
from sparsebook_service.resumable.owners import Owners
from sparsebook_service.resumable.promises import Promises
from sparsebook_service.settings import Settings
from sparsebook_service.storage import Storage

ANN, BOB = (Caller(name, frozenset({"submit"})) for name in ("ann", "bob"))


class Table:
    """Uploads as they stand in the table, with a disk of which a test says how much is free."""

    def __init__(self, folder: Path) -> None:
        self.kept = SQLiteStorage(str(folder / "uploads.sqlite"), str(folder / "uploads"))
        self.owners = Owners(self.kept.db_path)
        self.settings = Settings(
            data_dir=folder,
            max_pending_bytes=1000,
            max_upload_bytes=250,
            min_free_bytes=100,
            pending_share=0.4,
        )
        self.storage = _Disk(folder / "files")
        self.promises = Promises(self.settings, self.storage, self.kept.db_path)

    def add(self, name: str, caller: Caller, length: int, there: int = 0) -> None:
        with self.promises.promised(caller, length):
            self.kept.create_upload(name, length, {})
            self.kept.update_offset(name, there)
            self.owners.note(name, caller)


class _Disk(Storage):
    free = 1 << 40

    def free_bytes(self) -> int:
        return self.free


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


def test_a_key_has_its_share_alone(table: Table) -> None:
    table.add("1", ANN, 250)
    table.add("2", ANN, 150)
    with pytest.raises(UploadsFull, match=r"key ann .* 400 bytes, of 400 at most; delete uploads"):
        table.add("3", ANN, 1)
    table.add("4", BOB, 250)
    table.add("5", ANYBODY, 250)
    with pytest.raises(UploadsFull, match="900 bytes, of 1000 at most; delete uploads"):
        table.add("6", ANYBODY, 101)
    table.kept.delete_upload("1")
    table.add("7", ANN, 250)


def test_those_that_are_being_begun_count(table: Table) -> None:
    with ExitStack() as beginning:
        beginning.enter_context(table.promises.promised(ANN, 250))
        with pytest.raises(UploadsFull, match="250 bytes, of 400"):
            table.add("1", ANN, 151)
    table.add("1", ANN, 151)
    with pytest.raises(TooLarge):
        table.add("2", BOB, 251)


def test_bytes_still_to_come_are_not_free(table: Table) -> None:
    table.storage.free = 400
    table.add("1", ANN, 200, there=50)
    with pytest.raises(StorageFull, match="no room left on the disk"):
        table.add("2", BOB, 151)
    table.add("2", BOB, 150)


def test_the_largest_upload_has_room_in_a_small_share(tmp_path: Path) -> None:
    table = Table(tmp_path)
    table.promises = Promises(
        table.settings.model_copy(update={"pending_share": 0.01}),
        table.storage,
        table.kept.db_path,
    )
    table.add("1", ANN, 250)
    with pytest.raises(UploadsFull, match="of 250 at most"):
        table.add("2", ANN, 1)

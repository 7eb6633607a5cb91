"""The trainer's checkpoints in the storage, so that another worker can go on where one has died.

The trainer keeps in its work folder, besides the newest `checkpoint-<epoch>`, the kept state that this names
(docs/training.md). Both go into the storage under the epoch, last a list of all files: a checkpoint without its list is
not whole and does not count.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from sparsebook_service.finetune import contents, keys
from sparsebook_service.storage import Storage

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_LIST = re.compile(r"(\d+)\.json")
# What belongs to a checkpoint in the trainer's work folder.
_PARTS = ("order.sha256", "kept-*", "checkpoint-*")
_PARTIAL = ".partial"


def newest(work: Path) -> int | None:
    """The epoch of the newest checkpoint in a trainer's work folder."""
    epochs = [
        int(match[1]) for path in work.glob("*") if (match := _CHECKPOINT.fullmatch(path.name))
    ]
    return max(epochs, default=None)


class Checkpoints:
    """Those of one training."""

    def __init__(self, storage: Storage, training_id: str, check: Callable[[], None]) -> None:
        """`check` is called while files are copied; what it raises ends the copy."""
        self._storage = storage
        self._check = check
        self._root = keys.checkpoints(training_id)

    def store(self, work: Path, epoch: int) -> bool:
        """Put the checkpoint of an epoch into the storage; older ones go.

        The trainer works on meanwhile, and removes what a newer checkpoint has made old.

        Returns:
            False where it was removed before it was copied.
        """
        names = _names(work)
        try:
            sizes = {name: (work / name).stat().st_size for name in names}
            for name in names:
                self._storage.put(f"{self._root}/{epoch}/{name}", work / name, self._check)
        except FileNotFoundError:
            return self._dropped(epoch)
        # What it needs goes only after it: it is there, so all of it was while it was copied.
        if not (work / f"checkpoint-{epoch}").exists():
            return self._dropped(epoch)
        listed = work.with_name("checkpoint.json")
        listed.write_text(json.dumps(sizes))
        self._storage.put(f"{self._root}/{epoch}.json", listed)
        for older in self._epochs():
            if older < epoch:
                self._storage.remove_file(f"{self._root}/{older}.json")
                self._storage.remove(f"{self._root}/{older}")
        return True

    def restore(self, work: Path) -> int | None:
        """Put the newest checkpoint into an empty work folder; its epoch, or None where there is none."""
        for epoch in reversed(self._epochs()):
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir(parents=True)
            listed = json.loads(self._storage.content(f"{self._root}/{epoch}.json"))
            keys_of = {name: f"{self._root}/{epoch}/{name}" for name in listed}
            if all(self._storage.size(key) == listed[name] for name, key in keys_of.items()):
                for name, key in keys_of.items():
                    self._storage.get(key, work / name, self._check)
                return epoch
        return None

    def _dropped(self, epoch: int) -> bool:
        self._storage.remove(f"{self._root}/{epoch}")
        return False

    def _epochs(self) -> list[int]:
        names = self._storage.folders(self._root)
        return sorted(int(match[1]) for name in names if (match := _LIST.fullmatch(name)))


def _names(work: Path) -> list[str]:
    return [
        f"{found.name}/{name}" if found.is_dir() else found.name
        for part in _PARTS
        for found in sorted(work.glob(part))
        if not found.name.endswith(_PARTIAL)
        for name in (contents.names(found) if found.is_dir() else [""])
    ]

"""Half-made folders: nobody else's while they are filled, swept once nobody fills them."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sparsebook_compressor.partial import partial_folder

FILL_FOR_EVER = """
import sys, time
from pathlib import Path
from sparsebook_compressor.partial import partial_folder
with partial_folder(Path(sys.argv[1])) as folder:
    (folder / "half").write_text("x")
    print("filling", flush=True)
    time.sleep(600)
"""


def test_what_a_killed_process_has_left_is_swept_by_the_next_for_the_same_target(
    tmp_path: Path,
) -> None:
    target = tmp_path / "bundle"
    with subprocess.Popen(
        [sys.executable, "-c", FILL_FOR_EVER, str(target)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"filling\n"
        (other,) = tmp_path.iterdir()
        with partial_folder(target):
            assert (other / "half").exists()  # its process lives
        process.kill()
    with partial_folder(tmp_path / "bundle2"):
        assert (other / "half").exists()  # another target's
    with partial_folder(target) as folder:
        assert list(tmp_path.iterdir()) == [folder]
    assert list(tmp_path.iterdir()) == []


def test_files_and_links_of_such_a_name_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / ".bundle.partial-file").write_text("x")
    (tmp_path / ".bundle.partial-link").symlink_to(tmp_path / "mine")
    before = set(tmp_path.iterdir())
    with partial_folder(tmp_path / "bundle") as folder:
        assert set(tmp_path.iterdir()) == {*before, folder}
    assert set(tmp_path.iterdir()) == before


def test_an_interrupt_in_the_middle_of_the_removal_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove: Callable[..., None] = shutil.rmtree
    interrupts = [KeyboardInterrupt()]

    def interrupted_once(folder: Path, *, ignore_errors: bool = False) -> None:
        if interrupts:
            (folder / "first").unlink()
            raise interrupts.pop()
        remove(folder, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", interrupted_once)

    def fill() -> None:
        with partial_folder(tmp_path / "bundle") as folder:
            (folder / "first").write_text("x")
            (folder / "second").write_text("x")

    with pytest.raises(KeyboardInterrupt):
        fill()
    assert list(tmp_path.iterdir()) == []

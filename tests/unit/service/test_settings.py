from pathlib import Path

import pytest

from sparsebook_compressor.errors import BadValue, UnknownOption
from sparsebook_service import settings


def test_the_command_line_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEBOOK_PORT", "9000")
    monkeypatch.setenv("SPARSEBOOK_WORKERS", "7")
    loaded = settings.load(port=0, host=None)
    assert (loaded.port, loaded.workers, loaded.host) == (0, 7, "127.0.0.1")


def test_folders_are_absolute(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = settings.load()
    assert loaded.data_dir == tmp_path / "sparsebook-data"
    for folder in (loaded.store_dir, loaded.work_dir, loaded.database_file):
        assert folder.parent == loaded.data_dir


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "70000"),
        ("WORKERS", "0"),
        ("MAX_UPLOAD_BYTES", "many"),
        ("LOG_FORMAT", "xml"),
        ("JOB_ADDRESS_SPACE_BYTES", "1"),
        ("RUNTIMES", "/no/such/folder"),
    ],
)
def test_bad_values_are_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"SPARSEBOOK_{name}", value)
    with pytest.raises(BadValue, match=f"SPARSEBOOK_{name}: .*{value}"):
        settings.load()


@pytest.mark.parametrize("name", sorted(settings.LATER))
def test_settings_of_later_parts_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(f"SPARSEBOOK_{name}", "x")
    with pytest.raises(UnknownOption, match=f"SPARSEBOOK_{name}: .* not built yet"):
        settings.load()

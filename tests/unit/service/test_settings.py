from pathlib import Path

import pytest

from sparsebook_compressor.errors import BadValue
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


def test_what_many_hosts_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEBOOK_DATABASE_URL", "postgres://me:secret@db.example/jobs")
    monkeypatch.setenv("SPARSEBOOK_STORAGE", "s3://models/sparsebook")
    chosen = settings.load()
    assert chosen.database_url == "postgresql://me:secret@db.example/jobs"
    assert chosen.storage == "s3://models/sparsebook"
    assert "me:secret" not in repr(chosen)


def test_a_bad_database_is_refused_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEBOOK_DATABASE_URL", "mysql://me:secret@db.example/jobs")
    with pytest.raises(BadValue, match=r"SPARSEBOOK_DATABASE_URL: .*postgresql://") as refused:
        settings.load()
    assert "secret" not in str(refused.value)


def test_a_storage_that_is_no_bucket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEBOOK_STORAGE", "https://models")
    with pytest.raises(BadValue, match=r"SPARSEBOOK_STORAGE: .*s3://BUCKET"):
        settings.load()

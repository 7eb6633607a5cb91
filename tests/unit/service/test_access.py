"""Keys without a server: their text, their digest, and what surrounds an answer to a fault."""

import stat
import time
from pathlib import Path

import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from sparsebook_compressor.errors import BadValue
from sparsebook_service import errors
from sparsebook_service.access import tokens
from sparsebook_service.access.caller import ANYBODY, Caller, Quota, parse_scopes
from sparsebook_service.access.exposure import check_address, check_local, is_loopback
from sparsebook_service.access.repository import KeyRepository, count_job, opened
from sparsebook_service.database import open_sqlite
from sparsebook_service.errors import Forbidden
from sparsebook_service.settings import Settings


def test_a_key_fits_its_own_digest_alone() -> None:
    first, second = tokens.mint("0" * 12), tokens.mint("0" * 12)
    kept = tokens.digest(first)
    assert tokens.fits(first, kept)
    assert not tokens.fits(second, kept)
    assert not tokens.fits(first[:-1], kept)
    assert first.rsplit("_", 1)[1] not in kept


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sparsebook_",
        f"sparsebook_{'0' * 12}_{'g' * 64}",
        f" sparsebook_{'0' * 12}_{'a' * 64}",
    ],
)
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert tokens.id_of(text) is None


def test_who_sees_what() -> None:
    ann = Caller("a", frozenset({"read"}))
    assert [ann.sees(owner) for owner in ("a", "b", None)] == [True, False, False]
    assert [ann.may(scope) for scope in ("read", "submit", "metrics", "admin")] == [True] + 3 * [
        False
    ]
    admin = Caller("b", frozenset({"admin"}))
    for caller in (admin, ANYBODY):
        assert all(caller.sees(owner) for owner in ("a", "b", None))
        assert all(caller.may(scope) for scope in ("read", "submit", "metrics", "admin"))
    # Without a key id there is no owner, and what nobody owns is not what he owns.
    assert not Caller(None, frozenset({"read"})).sees(None)


@pytest.mark.parametrize("text", ["", " , ", "read,write", "READ"])
def test_bad_scopes(text: str) -> None:
    with pytest.raises(BadValue, match="--scope"):
        parse_scopes(text)


@pytest.mark.parametrize(
    "address", ["0.0.0.0", "::", "192.168.1.5", "::ffff:10.0.0.1", "fe80::1%eth0"]
)
def test_addresses_that_others_reach(address: str) -> None:
    assert not is_loopback(address)
    with pytest.raises(BadValue, match="--access keys"):
        check_address(address, "loopback")
    check_address(address, "keys")
    check_address(address, "anyone")


def test_jobs_are_counted_by_key_and_day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = open_sqlite(tmp_path / "keys.sqlite")
    keys = KeyRepository(engine)

    def count(key_id: str) -> int:
        with engine.begin() as connection:
            return count_job(connection, key_id)

    assert [count("a"), count("a"), count("b")] == [1, 2, 1]
    assert [keys.jobs_today(key_id) for key_id in "abc"] == [2, 1, 0]
    now = time.time()
    monkeypatch.setattr("sparsebook_service.access.repository.time.time", lambda: now + 86_400)
    assert keys.jobs_today("a") == 0
    assert count("a") == 1
    engine.dispose()


def test_limits_are_kept_as_they_were_given(tmp_path: Path) -> None:
    engine = open_sqlite(tmp_path / "keys.sqlite")
    quota = Quota(jobs_at_once=1, stored_bytes=1 << 40, jobs_a_day=None)
    KeyRepository(engine).add(
        "a", name="n", digest="d", scopes=("read",), quota=quota, requests_a_minute=5, expires=None
    )
    row = KeyRepository(engine).get("a")
    assert row is not None
    assert (row.quota, row.scopes, row.requests_a_minute) == (quota, ("read",), 5)
    engine.dispose()


def test_an_answer_to_a_fault_has_the_headers_too() -> None:
    app = FastAPI()
    errors.install(app, [])

    @app.get("/")
    async def fault(request: Request) -> None:
        raise RuntimeError("a fault")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get("/")
    assert answer.status_code == 500
    assert answer.json()["type"] == "/problems/internal"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


def test_a_name_of_this_machine_that_was_given_is_served() -> None:
    check_local("Build-Box:8080", None, own="build-box")
    check_local(None, "http://localhost:3000", own="127.0.0.1")
    with pytest.raises(Forbidden, match="Host"):
        check_local("build-box.example", None, own="build-box")
    check_local("app.localhost:8080", None, own="build-box")
    with pytest.raises(Forbidden, match="Host"):  # another's, who only ends like this one
        check_local("notlocalhost", None, own="build-box")
    with pytest.raises(Forbidden, match="Origin"):
        check_local("127.0.0.1", "http://build-box.example", own="build-box")


def test_a_new_data_folder_is_its_users_alone(tmp_path: Path) -> None:
    with opened(Settings(data_dir=tmp_path / "data")) as keys:
        assert keys.all() == []
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700

"""`sparsebook keys`: the API keys of a service, which may run meanwhile."""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from sparsebook_compressor.errors import BadValue
from sparsebook_service.cli import console, form
from sparsebook_service.cli.options import AsJson

if TYPE_CHECKING:
    from sparsebook_service.access.repository import KeyRow
    from sparsebook_service.access.service import Keys

# Enough for several jobs that are watched at once, and far from what would harm a service.
REQUESTS_A_MINUTE = 1200

app = typer.Typer(
    help="API keys of a service: who may do what.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

DataDir: TypeAlias = Annotated[
    Path | None,
    typer.Option("--data-dir", help="That of the service. Default sparsebook-data."),
]
Which: TypeAlias = Annotated[str, typer.Argument(help="Id of the key, or its name.", metavar="KEY")]


@app.command("create")
def create_command(
    name: Annotated[str, typer.Option("--name", help="For people: who uses it.")],
    scope: Annotated[
        str,
        typer.Option(
            "--scope",
            metavar="submit,read,metrics,admin",
            help="**submit** sends, cancels and deletes, **read** looks and downloads, each its own jobs alone; "
            "**metrics** reads /metrics; **admin** is all of it, for everybody's jobs.",
        ),
    ] = "submit,read",
    jobs_at_once: Annotated[
        int | None, typer.Option("--jobs-at-once", min=1, help="Queued and running. No limit.")
    ] = None,
    stored_bytes: Annotated[
        int | None,
        typer.Option("--stored-bytes", min=1, help="Uploads and artifacts kept. No limit."),
    ] = None,
    jobs_a_day: Annotated[
        int | None,
        typer.Option("--jobs-a-day", min=1, help="From midnight to midnight, UTC. No limit."),
    ] = None,
    requests_a_minute: Annotated[
        int, typer.Option("--requests-a-minute", min=0, help="0 is no limit.")
    ] = REQUESTS_A_MINUTE,
    days: Annotated[
        float | None, typer.Option("--days", help="It ends after so many. Never.")
    ] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print it, once: only a digest of it is kept.

    Example: `sparsebook keys create --name ci --scope submit,read --data-dir /var/lib/sparsebook`
    """
    # Imports that no other command needs, here and below.
    from sparsebook_service.access.caller import Quota, parse_scopes  # noqa: PLC0415

    if days is not None and not 0 < days < 100_000:
        raise BadValue(f"--days: found {days}; more than 0")
    with _keys(data_dir) as keys:
        row, token = keys.create(
            name,
            parse_scopes(scope),
            Quota(jobs_at_once, stored_bytes, jobs_a_day),
            requests_a_minute=requests_a_minute or None,
            days=days,
        )
    _show_once(row, token, data_dir, as_json)


@app.command("list")
def list_command(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the keys that there are and were.

    Example: `sparsebook keys list --data-dir /var/lib/sparsebook`
    """
    with _keys(data_dir) as keys:
        rows = keys.list()
    if as_json:
        sys.stdout.write(json.dumps([_plain(row) for row in rows], indent=1) + "\n")
        return
    columns = ("id", "name", "scopes", "state", "used", "limits")
    table = form.Table(
        f"API keys: {len(rows)}", *columns, numbers_from=len(columns), least=("used", "limits")
    )
    now = time.time()
    for row in rows:
        scopes = ", ".join(row.scopes)
        table.add(row.id, row.name, scopes, row.state(now), _day(row.used) or "never", _limits(row))
    table.show(console.out)


@app.command("revoke")
def revoke_command(key: Which, data_dir: DataDir = None) -> None:
    """End a key, from its next request on. Its jobs stay; an admin's key sees them.

    Example: `sparsebook keys revoke ci --data-dir /var/lib/sparsebook`
    """
    with _keys(data_dir) as keys:
        row = keys.revoke(key)
    console.say(f"the key {row.id} ({row.name}) is revoked")


@app.command("rotate")
def rotate_command(key: Which, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Give a key another secret and print it, once. The old one ends at once; jobs, scopes and limits stay.

    Example: `sparsebook keys rotate ci --data-dir /var/lib/sparsebook`
    """
    with _keys(data_dir) as keys:
        row, token = keys.rotate(key)
    _show_once(row, token, data_dir, as_json)


@contextmanager
def _keys(data_dir: Path | None) -> Iterator["Keys"]:
    from sparsebook_service import settings  # noqa: PLC0415
    from sparsebook_service.access import repository  # noqa: PLC0415
    from sparsebook_service.access.service import Keys  # noqa: PLC0415

    with repository.opened(settings.load(data_dir=data_dir)) as opened:
        yield Keys(opened)


def _show_once(row: "KeyRow", token: str, data_dir: Path | None, as_json: bool) -> None:
    """The key alone on standard output, so that a script can take it from there."""
    if as_json:
        sys.stdout.write(json.dumps({**_plain(row), "key": token}, indent=1) + "\n")
        return
    sys.stdout.write(f"{token}\n")
    scopes = ", ".join(row.scopes)
    console.say(
        f"key {row.id} ({row.name}) for {scopes}, of the service {_which(data_dir)}; it is not shown again"
    )


def _which(data_dir: Path | None) -> str:
    """A key is good where it was made: said, because another folder is easily taken."""
    from sparsebook_service import settings  # noqa: PLC0415

    found = settings.load(data_dir=data_dir)
    return f"in {found.data_dir}" if found.database_url is None else "on the shared database"


def _plain(row: "KeyRow") -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "scopes": list(row.scopes),
        "state": row.state(time.time()),
        "jobs_at_once": row.jobs_at_once,
        "stored_bytes": row.stored_bytes,
        "jobs_a_day": row.jobs_a_day,
        "requests_a_minute": row.requests_a_minute,
        "created": _moment(row.created),
        "expires": _moment(row.expires),
        "revoked": _moment(row.revoked),
        "used": _moment(row.used),
    }


def _moment(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()


def _day(seconds: float | None) -> str | None:
    return None if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d}"


def _limits(row: "KeyRow") -> str:
    stored = None if row.stored_bytes is None else f"{form.size(row.stored_bytes)} stored"
    counts = {
        "jobs at once": row.jobs_at_once,
        "jobs a day": row.jobs_a_day,
        "requests a minute": row.requests_a_minute,
    }
    named = [f"{most} {what}" for what, most in counts.items() if most is not None]
    return ", ".join([*named, *([stored] if stored else [])]) or "none"

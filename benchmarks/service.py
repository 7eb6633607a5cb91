"""The service: what is lost, how fast it is, how much memory it takes, and what damaged files do to it.

    .venv/bin/python -m benchmarks.service [--only latency|throughput|polling|upload|malformed|kills] [--kills N] [--jobs N]
        [--seconds S] [--upload-mib N] [--malformed N] [--first N] [--minutes M] [--seed N] [--database sqlite|postgres]

All on the loopback, with client and service on the same processors. Every measurement has a service of its own, with a folder and SQLite, or
a database of its own in a Postgres that is started for it.
By default it takes minutes; the whole table is --kills 200 --upload-mib 10240 --malformed 10000. What is measured takes the place of the same in
build/benchmarks/service.json (service-postgres.json); the rest stays, so that measurements can be run one at a time.
"""

import argparse
import contextlib
import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import service_hostile, service_runs
from benchmarks.postgres import postgres
from benchmarks.results import day, show, with_kept, write
from benchmarks.service_server import Serve, serving

MIB = 1 << 20
COLUMNS = ("what", "found", "must", "aim", "reached", "measured")
SECTIONS = ("latency", "throughput", "polling", "upload", "malformed", "kills")


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = _arguments()
    found: dict[str, Any] = {}
    with contextlib.ExitStack() as stack:
        database = None
        if arguments.database == "postgres":
            database = stack.enter_context(postgres()).database
        serve = functools.partial(serving, database)
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="sparsebook-bench-"))
        for name, measure in _measurements(arguments, serve).items():
            if name in (arguments.only or SECTIONS):
                found[name] = measure(Path(folder) / name)
                print(f"{name}: {found[name]}", flush=True)
    name = "service" if arguments.database == "sqlite" else "service-postgres"
    print(keep(name, with_kept(name, found, flags=vars(arguments))))


def keep(name: str, parts: dict[str, dict[str, Any]]) -> Path:
    """Print the table of all parts that there are, and write them."""
    database = {"service": "SQLite", "service-postgres": "Postgres"}[name]
    there = [each for each in SECTIONS if each in parts]
    rows = [(*_row(each, parts[each]["found"]), day(parts[each])) for each in there]
    show(f"The service on the loopback, {database} and a folder", COLUMNS, rows)
    return write(name, {each: parts[each]["found"] for each in there}, parts=parts)


def _measurements(
    flags: argparse.Namespace, serve: Serve
) -> dict[str, Callable[[Path], dict[str, Any]]]:
    return {
        "latency": lambda folder: service_runs.latency(serve, folder, 5),
        "throughput": lambda folder: service_runs.throughput(
            serve, folder, flags.jobs, flags.workers
        ),
        "polling": lambda folder: service_runs.polling(serve, folder, 200, flags.seconds),
        "upload": lambda folder: service_runs.upload(serve, folder, flags.upload_mib * MIB),
        "malformed": lambda folder: service_hostile.malformed(
            serve, folder, flags.malformed, flags.seed, flags.minutes, flags.first
        ),
        "kills": lambda folder: service_runs.kills(serve, folder, flags.kills, flags.seed),
    }


def _row(name: str, found: dict[str, Any]) -> tuple[str, ...]:
    what, value, unit, must, aim, less = {
        "latency": (
            "from POST to artifact, magika, idle service, median of 5",
            found.get("median"),
            "s",
            10,
            3,
            True,
        ),
        "throughput": (
            f"magika-sized jobs a minute, {found.get('cpu_seconds_a_job', 0):.2f} processor seconds each",
            found.get("per_minute"),
            "",
            60,
            200,
            False,
        ),
        "polling": (
            f"p99 of GET /jobs/ID, 200 clients once a second, 2 jobs running (median {1000 * found.get('median', 0):.3g} ms)",
            1000 * found.get("p99", 0),
            "ms",
            150,
            50,
            True,
        ),
        "upload": (
            f"memory of the API's process, upload of {found.get('bytes', 0) / MIB:.0f} MiB ({found.get('before', 0) / 1e6:.0f} MB before)",
            found.get("most", 0) / 1e6,
            "MB",
            150,
            100,
            True,
        ),
        "malformed": (
            f"5xx, faults, hangs, restarts of {found.get('sent')} damaged uploads",
            found.get("bad"),
            "",
            0,
            0,
            True,
        ),
        "kills": (
            f"lost or different of {found.get('jobs')} jobs, {_kills(found.get('kills', {}))}",
            found.get("lost", 0) + found.get("differ", 0),
            "",
            0,
            0,
            True,
        ),
    }[name]
    assert value is not None

    def reached(bar: float) -> bool:
        return bool(value <= bar if less else value >= bar)

    verdict = "aim" if reached(aim) else "must" if reached(must) else "MISSED"
    cells = (f"{value:.4g} {unit}", f"{must} {unit}", f"{aim} {unit}")
    return what, *(cell.strip() for cell in cells), verdict


def _kills(by_process: dict[str, int]) -> str:
    named = {"api": "the API", "job": "jobs", "nursery or helper": "the nursery and its helper"}
    which = ", ".join(f"{count} of {named[what]}" for what, count in sorted(by_process.items()))
    return f"{sum(by_process.values())} kills ({which})"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=SECTIONS)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--jobs", type=int, default=40, help="of the throughput")
    parser.add_argument("--workers", type=int, default=2, help="jobs at once, of the throughput")
    parser.add_argument("--seconds", type=float, default=15, help="of polling")
    parser.add_argument("--upload-mib", type=int, default=1024)
    parser.add_argument("--malformed", type=int, default=300)
    parser.add_argument("--first", type=int, default=0, help="of damaged models, left out")
    parser.add_argument("--minutes", type=float, default=240, help="of damaged models, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--database", choices=("sqlite", "postgres"), default="sqlite")
    return parser.parse_args()


if __name__ == "__main__":
    main()

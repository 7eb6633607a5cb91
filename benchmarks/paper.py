"""The tables and figures of Deep Compression (arXiv 1510.00149) on full MNIST, the paper's beside ours.

    make paper    or    .venv/bin/python -m benchmarks.paper [--net lenet-300-100|lenet-5|both] [--seeds 5]
                                                             [--only tables|figures|robustness|jobs|control] [--jobs 2] [--again]

Every compression is kept in build/benchmarks/paper/ as soon as it has ended: an interrupted benchmark goes on where it was.
Settings are in paper_configs.py. The test images are read after everything of a run is frozen.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import Any

from benchmarks import mnist, paper_figures, paper_tables
from benchmarks.kept_runs import Hits
from benchmarks.lenets import LENETS
from benchmarks.paper_configs import JOB_MINUTES, JOBS
from benchmarks.paper_plots import draw
from benchmarks.paper_runs import Job, Run, carry_out, forget, hits
from benchmarks.paper_svd import factored
from benchmarks.results import show, write

SECTIONS = ("tables", "figures", "robustness", "jobs", "control")
# LeNet-5 trains ten times slower, and its figures say the same: they are drawn when it is asked for alone.
FIGURE_NETS = {"both": ["lenet-300-100"]}


def main() -> None:
    """Make what is asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--net", choices=[*LENETS, "both"], default="both")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", choices=SECTIONS)
    parser.add_argument("--jobs", type=int, default=2, help="how many compressions at once")
    parser.add_argument("--again", action="store_true", help="forget the runs that are kept")
    arguments = parser.parse_args()
    nets = list(LENETS) if arguments.net == "both" else [arguments.net]
    wanted = SECTIONS if arguments.only is None else (arguments.only,)
    digits = mnist.read()
    if arguments.again:
        forget(
            [
                job
                for net in nets
                for section in wanted
                for job in _jobs(net, section, arguments.seeds)
            ]
        )
    originals = {net: hits(LENETS[net].trained, LENETS[net], digits.test) for net in nets}
    robust: dict[str, Any] = {}
    if "robustness" in wanted:
        robust = {net: robustness(net, originals[net], arguments.jobs) for net in nets}
        print("written:", write("paper-robustness", robust, whole=arguments.net == "both"))
    if "tables" in wanted:
        shares = {net: found["no_loss"] for net, found in robust.items()}
        print("written:", tables(nets, arguments.seeds, originals, shares, arguments.jobs))
    if "figures" in wanted:
        for net in FIGURE_NETS.get(arguments.net, nets):
            figures(net, originals[net], arguments.jobs)
    whole = arguments.net == "both"
    if "control" in wanted:
        controls = {
            net: control(net, arguments.seeds, originals[net], arguments.jobs) for net in nets
        }
        print("written:", write("paper-control", controls, whole=whole))
    if "jobs" in wanted:
        print("written:", write("paper-jobs", whole_jobs(nets, originals), whole=whole))


def tables(
    nets: Sequence[str],
    seeds: int,
    originals: dict[str, Hits],
    robust: dict[str, float | None],
    at_once: int,
) -> Any:
    """Tables 1, 2, 3, 6, 7 and the bars."""
    runs = carry_out([job for net in nets for job in _jobs(net, "tables", seeds)], at_once)
    main_runs = {net: _of(runs, paper_tables.main_jobs(net, seeds)) for net in nets}
    summaries = {net: paper_tables.summary(net, main_runs[net], originals[net]) for net in nets}
    paper_tables.table_1(summaries)
    for net in nets:
        paper_tables.table_layers(net, main_runs[net][0].report)
    results: dict[str, Any] = {"nets": summaries}
    if "lenet-5" in nets:
        results["table_6"] = paper_tables.table_6(runs, originals["lenet-5"])
    factors = {net: factored(net, paper_tables.SVD_SHARE) for net in nets}
    firsts = {net: found[0] for net, found in main_runs.items()}
    paper_tables.table_7(summaries, firsts, factors)
    results["bars"] = paper_tables.bars(summaries, robust)
    return write("paper", _plain(results), whole=set(nets) == set(LENETS))


def robustness(net: str, original: Hits, at_once: int) -> dict[str, Any]:
    """Half and twice of every setting."""
    runs = carry_out(_jobs(net, "robustness", 1), at_once)
    plain: dict[str, Any] = _plain(paper_tables.robustness(net, runs, original))
    return plain


def control(net: str, seeds: int, original: Hits, at_once: int) -> dict[str, Any]:
    """What the same retraining makes of a net that keeps all its weights: whether no loss owes to the training alone."""
    runs = carry_out(_jobs(net, "control", seeds), at_once)
    found: dict[str, Any] = _plain(paper_tables.control(net, runs, original))
    return found


def figures(net: str, original: Hits, at_once: int) -> None:
    """Figures 6, 7 and 8 as SVG, and their points as JSON."""
    error = 1 - float(original.mean())
    runs = carry_out(_jobs(net, "figures", 1), at_once)
    factors = [factored(net, share) for share in paper_figures.SVD_SHARES]
    panels = {
        "6": [paper_figures.figure_6(net, runs, factors, error)],
        "7": paper_figures.figure_7(net, runs),
        "8": [paper_figures.figure_8(net, runs)],
    }
    for number, found in panels.items():
        print("drawn:", draw(f"paper-figure-{number}-{net}", found))
    print("written:", write(f"paper-figures-{net}", _plain(panels)))


def whole_jobs(nets: Sequence[str], originals: dict[str, Hits]) -> list[dict[str, Any]]:
    """How long a user waits: one job with the defaults, and one that searches a budget; one at a time."""
    rows, results = [], []
    for net in nets:
        for name, settings in JOBS.items():
            job = Job(net, settings)
            run = carry_out([job], 1)[job.key]
            lost = run.error - (1 - float(originals[net].mean()))
            minutes = run.seconds / 60
            results.append(
                {"net": net, "job": name, "seconds": run.seconds, "bytes": run.bytes, "lost": lost}
            )
            rows.append(
                (
                    f"{net}, {name}",
                    f"{minutes:.1f} min",
                    f"{JOB_MINUTES[name]} min",
                    f"{run.bytes:,}",
                    f"{run.report.ratio:.1f}x",
                    f"{lost:+.2%}",
                )
            )
    columns = ("job", "took", "at most asked", "bytes", "ratio", "accuracy lost")
    show("Whole jobs on this machine", columns, rows)
    return results


def _jobs(net: str, section: str, seeds: int) -> list[Job]:
    """All jobs of a section."""
    match section:
        case "tables":
            return [*paper_tables.main_jobs(net, seeds), *paper_tables.bits_jobs(net)]
        case "figures":
            return paper_figures.figure_jobs(net)
        case "robustness":
            return [job for *_, job in paper_tables.robust_jobs(net)]
        case "control":
            return paper_tables.control_jobs(net, seeds)
        case _:
            return [Job(net, settings) for settings in JOBS.values()]


def _of(runs: dict[str, Run], jobs: Sequence[Job]) -> list[Run]:
    return [runs[job.key] for job in jobs]


def _plain(value: Any) -> Any:
    """Dataclasses as JSON has them."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


if __name__ == "__main__":
    main()

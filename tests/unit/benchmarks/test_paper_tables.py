"""The paper's tables and figures from small made runs: one real compression a net, its bytes and hits set as each table needs them."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import paper_figures, paper_plots, paper_tables
from benchmarks.kept_runs import Hits
from benchmarks.lenets import INPUT, LENETS
from benchmarks.paper_numbers import TABLE_6
from benchmarks.paper_runs import Job, Run
from benchmarks.paper_svd import Factored
from benchmarks.worker import worker
from sparsebook_compressor import Config, Report, compress

IMAGES = 1000
SEEDS = 3
QUICK = {"preset": "paper", "prune": {"rounds": 1}, "train": {"epochs": 1}}


def right(wrong: int) -> Hits:
    """Hits of a model that gets so many images wrong, the same ones as any other that gets as many wrong."""
    return np.arange(IMAGES) >= wrong


ORIGINAL = right(12)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Report]:
    """A report of each net, trained for an epoch on a hundred images of noise."""
    found = {}
    rng = np.random.default_rng(0)
    for name, lenet in LENETS.items():
        folder = tmp_path_factory.mktemp(name)
        (folder / "net.onnx").write_bytes(lenet.build(0).SerializeToString())
        images = rng.random((100, *lenet.shape), np.float32)
        np.savez(folder / "data.npz", **{INPUT: images, "labels": rng.integers(0, 10, 100)})
        found[name] = compress(
            folder / "net.onnx",
            folder / "out",
            Config.parse(QUICK),
            data=folder / "data.npz",
            trainer=worker(),
            verify=False,
        )
    return found


Make = Callable[[Job, int, int], Run]


@pytest.fixture(scope="module")
def make(reports: dict[str, Report]) -> Make:
    """A run of a job, with so many bytes and so many images wrong."""

    def made(job: Job, size: int, wrong: int) -> Run:
        report = reports[job.net]
        report = replace(report, artifact=replace(report.artifact, bytes=size))
        return Run(report, right(wrong), 60.0, "sources", None, job)

    return made


def runs_of(make: Make, jobs: list[Job], wrong: Callable[[Job], int]) -> dict[str, Run]:
    return {job.key: make(job, 20_000, wrong(job)) for job in jobs}


def test_tables_print_the_paper_s_figures_and_ours(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {"lenet-300-100": 14_500, "lenet-5": 9_500}
    main = {
        net: [make(job, sizes[net], 12) for job in paper_tables.main_jobs(net, SEEDS)]
        for net in LENETS
    }
    summaries = {net: paper_tables.summary(net, runs, ORIGINAL) for net, runs in main.items()}
    paper_tables.table_1(summaries)
    printed = capsys.readouterr().out
    for words in (
        "lenet-300-100, paper",
        "1.64%",
        "27 KB",
        "14.50 KB",
        "3 seeds",
        "alexnet, paper",
    ):
        assert words in printed
    paper_tables.table_layers("lenet-5", main["lenet-5"][0].report)
    printed = capsys.readouterr().out
    for words in ("Table 3", "conv1, paper", "66.0%", "67.45%", "fc2, paper", "all, paper"):
        assert words in printed
    assert printed.count("  ours") == 5
    share = 9_500 / main["lenet-5"][0].report.input.bytes
    assert f"{share:.2%} ({1 / share:.0f}x)" in printed
    factors = {net: Factored(0.2, 400_000, right(15)) for net in LENETS}
    paper_tables.table_7(summaries, {net: runs[0] for net, runs in main.items()}, factors)
    printed = capsys.readouterr().out
    assert "Fastfood-32-AD" in printed
    assert "1.50%" in printed  # SVD's


def test_fewer_bits_stand_beside_alexnet_s(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    jobs = paper_tables.bits_jobs("lenet-5")
    runs = {job.key: make(job, 1000 * at, 12 + at) for at, job in enumerate(jobs, 1)}
    facts = paper_tables.table_6(runs, ORIGINAL)
    assert [fact["bits"] for fact in facts] == [bits for bits, *_ in TABLE_6 if bits is not None]
    assert [fact["bytes"] for fact in facts] == [1000, 2000, 3000]
    assert [fact["error"] for fact in facts] == pytest.approx([0.013, 0.014, 0.015])
    printed = capsys.readouterr().out
    assert "8 / 5" in printed
    assert "44.77%" in printed


@pytest.mark.parametrize(
    ("size", "wrong", "reached"),
    [(14_500, 12, "aim"), (21_000, 12, "must"), (7_900, 12, "moonshot"), (7_900, 13, "no")],
)
def test_bars_are_reached_without_loss_alone(
    make: Make, size: int, wrong: int, reached: str
) -> None:
    net = "lenet-300-100"
    runs = [make(job, size, wrong) for job in paper_tables.main_jobs(net, SEEDS)]
    runs[0] = make(runs[0].job, size - 500, 12)
    summary = paper_tables.summary(net, runs, ORIGINAL)
    verdicts = {row["bar"]: row for row in paper_tables.bars({net: summary}, {net: 0.75})}
    assert verdicts["largest file of all seeds"]["reached"] == reached
    assert verdicts["mean loss of accuracy <= 0"]["reached"] == ("yes" if wrong == 12 else "no")
    assert verdicts["every error <= 1.64%"]["reached"] == "yes"
    assert verdicts["no loss at half and twice"]["reached"] == "must"
    json.dumps(list(verdicts.values()))


def test_robustness_counts_the_runs_that_lost_nothing(make: Make) -> None:
    net = "lenet-300-100"
    jobs = paper_tables.robust_jobs(net)
    lost = {"learning rate": 12, "epochs": 11, "density": 13, "bits": 60}
    runs = {job.key: make(job, 20_000, lost[what]) for what, _, job in jobs}
    found = paper_tables.robustness(net, runs, ORIGINAL)
    assert found["no_loss"] == 0.5
    assert found["within_chance"] == 0.75
    assert {fact["factor"] for fact in found["runs"]} == {0.5, 2.0}


def bits(job: Job) -> int:
    """The fewest of a job."""
    return min(weight["bits"] for weight in job.settings["weights"].values())


def figures(net: str, runs: Mapping[str, Run]) -> dict[str, list[paper_figures.Panel]]:
    factors = [Factored(share, int(2e6 * share), right(20)) for share in paper_figures.SVD_SHARES]
    return {
        "6": [paper_figures.figure_6(net, runs, factors, 1 - float(ORIGINAL.mean()))],
        "7": paper_figures.figure_7(net, runs),
        "8": [paper_figures.figure_8(net, runs)],
    }


@pytest.mark.parametrize("net", LENETS)
def test_figures_have_their_points(make: Make, net: str) -> None:
    runs = runs_of(make, paper_figures.figure_jobs(net), lambda job: 110 - 10 * bits(job))
    panels = figures(net, runs)
    whole = next(iter(runs.values())).report.input.bytes
    both, pruned, shared, svd = panels["6"][0].curves
    assert {point.x for point in both.points} == {100 * 20_000 / whole}
    assert [len(curve.points) for curve in (both, pruned, shared, svd)] == [6, 6, 8, 4]
    assert all(point.y == pytest.approx(0.8) for point in svd.points)  # 2.0% wrong, not 1.2%
    assert [point.y for point in shared.points] == pytest.approx(
        [11 - count - 1.2 for count in range(1, 9)]
    )
    assert len(panels["7"]) == (3 if net == "lenet-5" else 1)
    for curve in panels["7"][-1].curves:
        assert [point.x for point in curve.points] == list(range(1, 9))
        assert [point.y for point in curve.points] == pytest.approx(
            [90 + count - 1 for count in range(1, 9)]
        )
    assert [curve.name for curve in panels["8"][0].curves] == ["linear", "density", "random"]


def test_figures_are_drawn_alike_every_time(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = "lenet-5"
    runs = runs_of(make, paper_figures.figure_jobs(net), lambda job: 110 - 10 * bits(job))
    drawn = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        monkeypatch.setattr(paper_plots, "FOLDER", folder)
        drawn.append(
            {
                number: paper_plots.draw(number, found).read_text()
                for number, found in figures(net, runs).items()
            }
        )
    assert drawn[0] == drawn[1]
    for curve in ("pruning + sharing", "pruning alone", "sharing alone", "SVD"):
        assert curve in drawn[0]["6"]
    assert drawn[0]["7"].count("bits a code") == 3
    assert "file in % of the original" in drawn[0]["6"]

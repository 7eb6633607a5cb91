"""The paper's Tables 1, 2, 3, 6 and 7 beside ours, the bars that were set, and the referee's question of robustness."""

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.kept_runs import Hits
from benchmarks.lenets import LENETS
from benchmarks.paper_configs import (
    BARS,
    CONFIGS,
    FACTORS,
    FIGURE_CONFIGS,
    VARIED,
    Bars,
    seeded,
    varied,
    with_bits,
    with_density,
)
from benchmarks.paper_numbers import LAYERS, TABLE_1, TABLE_6, TABLE_7, PaperLayer
from benchmarks.paper_runs import Job, Run
from benchmarks.paper_statistics import Loss, Spread, paired_loss
from benchmarks.paper_svd import Factored
from benchmarks.results import show
from sparsebook_compressor import Report
from sparsebook_compressor.report import WeightRow

SVD_SHARE = 0.2
MOST_BITS = 8
BITS_OF_TABLE_6 = tuple(bits for bits, *_ in TABLE_6 if bits is not None)

Runs = Mapping[str, Run]
Facts = dict[str, Any]


def main_jobs(net: str, seeds: int) -> list[Job]:
    """One job a seed."""
    return [Job(net, seeded(CONFIGS[net], seed)) for seed in range(seeds)]


def bits_jobs(net: str) -> list[Job]:
    """Table 6: fewer bits at the paper's densities, where there are convolutions and dense layers to tell apart."""
    if net != "lenet-5":
        return []
    base = FIGURE_CONFIGS[net]
    return [Job(net, seeded(with_bits(base, *bits), 0)) for bits in BITS_OF_TABLE_6]


def robust_jobs(net: str) -> list[tuple[str, float, Job]]:
    """Half and twice of everything that a user could set."""
    return [
        (what, factor, Job(net, seeded(varied(CONFIGS[net], what, factor), 0)))
        for what in VARIED
        for factor in FACTORS
    ]


def control_jobs(net: str, seeds: int) -> list[Job]:
    """The settings of the tables with nothing pruned and the widest codes: the same training of a net that keeps its weights."""
    settings = with_bits(with_density(CONFIGS[net], None), MOST_BITS, MOST_BITS)
    return [Job(net, seeded(settings, seed)) for seed in range(seeds)]


def control(net: str, runs: Runs, original: Hits) -> Facts:
    """The error of the baseline, and of the baseline trained on as the compressed nets are."""
    error = 1 - float(original.mean())
    found = Spread.of([run.error for run in runs.values()])
    rows = [
        ("the baseline", f"{error:.2%}"),
        (f"trained on as the compressed nets are, {len(runs)} seeds", spread_text(found, 100, "%")),
    ]
    show(f"{net}, nothing pruned, {MOST_BITS} bits", ("net", "error"), rows)
    return {"error_before": error, "error": found, "errors": [run.error for run in runs.values()]}


def summary(net: str, runs: Sequence[Run], original: Hits) -> Facts:
    """All that the tables say of a net, for JSON too."""
    error = 1 - float(original.mean())
    loss = paired_loss(original, [run.hits for run in runs])
    return {
        "net": net,
        "seeds": len(runs),
        "error_before": error,
        "error": Spread.of([run.error for run in runs]),
        "errors": [run.error for run in runs],
        "loss": loss,
        "bytes_before": runs[0].report.input.bytes,
        "bytes": Spread.of([float(run.bytes) for run in runs]),
        "bytes_of_runs": [run.bytes for run in runs],
        "ratio": Spread.of([run.report.ratio for run in runs]),
        "density": Spread.of([run.density for run in runs]),
        "error_by_pruning_alone": Spread.of([run.stage_error("retrained") for run in runs]),
        "seconds": Spread.of([run.seconds for run in runs]),
        "config": CONFIGS[net],
    }


def table_1(summaries: Mapping[str, Facts]) -> None:
    """Error and size of every net, the paper's and ours."""
    rows = []
    for paper in TABLE_1:
        top5 = paper.top5 or (None, None)
        rows += [
            row_of_table_1(f"{paper.name}, paper", paper.error[0], top5[0], paper.bytes[0], None),
            row_of_table_1("  compressed", paper.error[1], top5[1], paper.bytes[1], paper.ratio),
        ]
        if paper.name not in LENETS:
            rows.append(("  ours", "", "", "no ImageNet here: benchmarks.imagenet", ""))
        elif paper.name in summaries:
            facts = summaries[paper.name]
            before = facts["bytes_before"]
            rows += [
                row_of_table_1("  ours", 100 * facts["error_before"], None, before, None),
                (
                    f"    compressed, {facts['seeds']} seeds",
                    spread_text(facts["error"], 100, "%"),
                    "",
                    spread_text(facts["bytes"], 1e-3, " KB"),
                    spread_text(facts["ratio"], 1, "x", 1),
                ),
            ]
    columns = ("Table 1", "top-1 error", "top-5 error", "whole file", "ratio")
    show("Table 1: error and size", columns, rows)


def table_layers(net: str, report: Report) -> None:
    """Tables 2 to 5: what became of every layer, below what the paper says of it; of a net that it does not have, ours alone."""
    number, paper = LAYERS.get(net, (None, ()))
    said = {layer.name: layer for layer in paper}
    counts = {row.name.removesuffix(".weight"): row.elements for row in report.weights}
    ours = {row.name.removesuffix(".weight"): _layer(row) for row in report.weights}
    counts["all"], ours["all"] = sum(counts.values()), _together(report.weights)
    rows = []
    for name, found in ours.items():
        if name in said:
            rows.append(_row_layer(f"{name}, paper", f"{counts[name]:,}", said[name]))
        rows.append(_row_layer("  ours" if name in said else name, f"{counts[name]:,}", found))
    share = report.artifact.bytes / report.input.bytes
    rows.append(("whole file, ours", "", "", "", "", "", "", "", f"{share:.2%} ({1 / share:.0f}x)"))
    title = net if number is None else f"Table {number}: {net}"
    columns = (
        title,
        "weights",
        "kept",
        "code bits",
        "Huffman",
        "gap bits",
        "Huffman",
        "bytes, fixed width",
        "bytes, Huffman",
    )
    show(f"{title}, layer by layer", columns, rows)


def table_6(runs: Runs, original: Hits) -> list[Facts]:
    """Fewer bits: the paper's on AlexNet, ours on LeNet-5 at the densities of Table 3."""
    found = dict(zip(BITS_OF_TABLE_6, bits_jobs("lenet-5"), strict=True))
    before = 1 - float(original.mean())
    rows, facts = [], []
    for bits, top1, top5 in TABLE_6:
        name = "32 / 32" if bits is None else f"{bits[0]} / {bits[1]}"
        error, size = before, None
        if bits is not None:
            run = runs[found[bits].key]
            error, size = run.error, run.bytes
            facts.append({"bits": bits, "error": error, "bytes": size})
        rows.append(
            (
                name,
                f"{top1:.2f}%",
                f"{top1 - TABLE_6[0][1]:+.2f}%",
                f"{top5:.2f}%",
                f"{error:.2%}",
                f"{error - before:+.2%}",
                "" if size is None else f"{size / 1e3:.1f} KB",
            )
        )
    columns = (
        "bits, conv / dense",
        "AlexNet, paper: top-1",
        "increase",
        "top-5",
        "LeNet-5, ours: error",
        "increase",
        "file",
    )
    show("Table 6: fewer bits (the paper's AlexNet beside our LeNet-5: another net)", columns, rows)
    return facts


def table_7(
    summaries: Mapping[str, Facts], runs: Mapping[str, Run], factors: Mapping[str, Factored]
) -> None:
    """Other methods: the paper's on AlexNet, ours on the LeNets; what was not built again stays empty."""
    ours = {net: _methods(facts, runs[net], factors[net]) for net, facts in summaries.items()}
    rows = []
    for name, top1, _, size, ratio in TABLE_7:
        row = [name, f"{top1:.2f}%", f"{size / 1e6:.1f} MB", f"{ratio:g}x"]
        for methods in ours.values():
            row += methods.get(name.removesuffix(" (BVLC)"), ("", ""))
        rows.append(tuple(row))
    columns = ["Table 7", "AlexNet, paper: top-1", "size", "ratio"]
    for net in ours:
        columns += [f"{net}, ours: error", "ratio"]
    show(
        "Table 7: other methods (the paper's AlexNet beside our LeNets: other nets)", columns, rows
    )
    print(
        "ratios of ours: whole files; pruning counts weights as the paper does (no index); Fastfood and Collins & Kohli were not built"
    )


def bars(summaries: Mapping[str, Facts], shares: Mapping[str, float | None]) -> list[Facts]:
    """What was asked of the results, and whether it is there."""
    rows, facts = [], []
    for net, found in summaries.items():
        for verdict in _verdicts(found, BARS[net], shares.get(net)):
            facts.append({"net": net, **verdict})
            rows.append(
                (net, verdict["bar"], verdict["found"], verdict["asked"], verdict["reached"])
            )
    show("What was asked", ("net", "bar", "found", "must / aim / moonshot", "reached"), rows)
    return facts


def robustness(net: str, runs: Runs, original: Hits) -> Facts:
    """The referee's question: does it hold when a setting is half or twice as large?"""
    rows: list[tuple[str, ...]] = []
    facts: list[Facts] = []
    for what, factor, job in robust_jobs(net):
        run = runs[job.key]
        loss = paired_loss(original, [run.hits])
        verdict = "no loss" if loss.mean <= 0 else "within chance" if loss.low <= 0 else "loss"
        facts.append(
            {"what": what, "factor": factor, "error": run.error, "bytes": run.bytes, "loss": loss}
        )
        rows.append(
            (f"{what} x{factor:g}", f"{run.bytes:,}", f"{run.error:.2%}", loss_text(loss), verdict)
        )
    title = f"{net}: everything at half and twice (error before: {1 - original.mean():.2%})"
    show(title, ("setting", "bytes", "error", "accuracy lost, 95%", "verdict"), rows)
    without = sum(fact["loss"].mean <= 0 for fact in facts) / len(facts)
    chance = sum(fact["loss"].low <= 0 for fact in facts) / len(facts)
    print(
        f"{net}: no loss in {without:.0%} of the runs; none that is more than chance in {chance:.0%}"
    )
    return {"net": net, "runs": facts, "no_loss": without, "within_chance": chance}


def row_of_table_1(
    name: str, error: float, top5: float | None, size: float, ratio: float | None
) -> tuple[str, ...]:
    """A row of Table 1: errors in percent, a file's bytes."""
    return (
        name,
        f"{error:.2f}%",
        "" if top5 is None else f"{top5:.2f}%",
        f"{size / 1e6:.1f} MB" if size >= 1e7 else f"{size / 1e3:,.0f} KB",
        "" if ratio is None else f"{ratio:g}x",
    )


def _row_layer(name: str, count: str, layer: PaperLayer) -> tuple[str, ...]:
    return (
        name,
        count,
        f"{layer.density:.1f}%",
        *(f"{bits:.1f}" for bits in (*layer.code_bits, *layer.gap_bits)),
        *(f"{rate:.2f}%" for rate in layer.rates),
    )


def _layer(row: WeightRow) -> PaperLayer:
    return PaperLayer(
        row.name,
        100 * row.density,
        (row.code_bits, row.code_bits_huffman),
        (row.gap_bits, row.gap_bits_huffman),
        (100 * row.rate_shared, 100 * row.rate_huffman),
    )


def _together(rows: Sequence[WeightRow]) -> PaperLayer:
    """All weights as one: bits are means over the non-zeros, rates over the bytes."""
    elements = [float(row.elements) for row in rows]
    kept = [row.density * row.elements for row in rows]
    dense = [float(row.bytes_before) for row in rows]
    return PaperLayer(
        "all",
        100 * _mean([row.density for row in rows], elements),
        (
            _mean([row.code_bits for row in rows], kept),
            _mean([row.code_bits_huffman for row in rows], kept),
        ),
        (
            _mean([row.gap_bits for row in rows], kept),
            _mean([row.gap_bits_huffman for row in rows], kept),
        ),
        (
            100 * _mean([row.rate_shared for row in rows], dense),
            100 * _mean([row.rate_huffman for row in rows], dense),
        ),
    )


def _mean(values: Sequence[float], weights: Sequence[float]) -> float:
    return sum(v * w for v, w in zip(values, weights, strict=True)) / sum(weights)


def _methods(facts: Facts, run: Run, svd: Factored) -> dict[str, tuple[str, str]]:
    before = facts["bytes_before"]
    rows = run.report.weights
    shared = sum(row.rate_shared * row.bytes_before for row in rows)
    fixed = before / (run.bytes - sum(row.bytes_after for row in rows) + shared)
    error = f"{facts['error'].mean:.2%}"
    return {
        "baseline": (f"{facts['error_before']:.2%}", "1x"),
        "SVD": (f"{svd.error:.2%}", f"{before / svd.bytes:.1f}x"),
        "pruning": (
            f"{facts['error_by_pruning_alone'].mean:.2%}",
            f"{1 / facts['density'].mean:.1f}x",
        ),
        "pruning, sharing": (error, f"{fixed:.1f}x"),
        "pruning, sharing, Huffman": (error, f"{facts['ratio'].mean:.1f}x"),
    }


def _verdicts(found: Facts, wanted: Bars, robust: float | None) -> list[Facts]:
    lossless = found["loss"].mean <= 0 and max(found["errors"]) <= wanted.error
    worst = max(found["bytes_of_runs"])
    kilobytes = " / ".join(f"{limit / 1e3:g} KB" for limit in wanted.bytes)
    sizes = [lossless and worst <= limit for limit in wanted.bytes]
    pruned = 1 / found["density"].mean
    kept = found["error_by_pruning_alone"].mean <= found["error_before"]
    verdicts = [
        _verdict("largest file of all seeds", f"{worst / 1e3:.1f} KB", kilobytes, sizes),
        _verdict(
            f"every error <= {wanted.error:.2%}",
            f"{max(found['errors']):.2%} at worst",
            "",
            [max(found["errors"]) <= wanted.error],
        ),
        _verdict(
            "mean loss of accuracy <= 0", loss_text(found["loss"]), "", [found["loss"].mean <= 0]
        ),
        _verdict(
            "pruning alone, no loss",
            f"{pruned:.1f}x, error {found['error_by_pruning_alone'].mean:.2%}",
            " / ".join(f"{limit:g}x" for limit in wanted.pruning),
            [kept and pruned >= limit for limit in wanted.pruning],
        ),
    ]
    if robust is not None:
        asked = " / ".join(f"{limit:.0%}" for limit in wanted.robust)
        reached = [robust >= limit for limit in wanted.robust]
        verdicts.append(_verdict("no loss at half and twice", f"{robust:.0%}", asked, reached))
    return verdicts


def _verdict(bar: str, found: str, asked: str, reached: Sequence[bool]) -> Facts:
    """The highest of the steps that is reached."""
    steps = ("must", "aim", "moonshot") if len(reached) > 1 else ("yes",)
    best = [step for step, there in zip(steps, reached, strict=False) if there]
    return {"bar": bar, "found": found, "asked": asked, "reached": best[-1] if best else "no"}


def spread_text(spread: Spread, scale: float, unit: str, digits: int = 2) -> str:
    """Mean and deviation, both times `scale`."""
    mean = f"{spread.mean * scale:.{digits}f}{unit}"
    if spread.deviation is None:
        return mean
    return f"{mean} ± {spread.deviation * scale:.{digits}f}"


def loss_text(loss: Loss) -> str:
    """Mean and interval of a loss of accuracy, in percent."""
    return f"{loss.mean:+.2%} ({loss.low:+.2%} to {loss.high:+.2%})"

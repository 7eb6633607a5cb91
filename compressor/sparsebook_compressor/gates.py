"""Gates: what an artifact must come to. One that misses is kept, and said to have missed.

Unlike `budget.max_drop`, which is searched for, gates change nothing about what is made.
"""

from sparsebook_compressor.config import Budget
from sparsebook_compressor.errors import GateNotMet
from sparsebook_compressor.report import Report


def missed(budget: Budget, report: Report) -> GateNotMet | None:
    """What is to be said of a bundle that misses a gate; all that it misses, in one sentence each."""
    found = [text for text in (_ratio(budget, report), _latency(budget, report)) if text]
    if not found:
        return None
    return GateNotMet("; ".join((*found, "the bundle is there all the same")))


def _ratio(budget: Budget, report: Report) -> str | None:
    wanted = budget.min_ratio
    if wanted is None or report.ratio >= wanted:
        return None
    # Rounded down, so that 9.996 does not read as the 10 that was asked for.
    reached = int(report.ratio * 1000) / 1000
    return f"budget.min_ratio {wanted:g}: the artifact is {reached:g} times smaller"


def _latency(budget: Budget, report: Report) -> str | None:
    wanted, latency = budget.max_latency_ms, report.fidelity.latency
    if wanted is None:
        return None
    if latency is None:
        why = report.fidelity.skipped or "the artifact was not run"
        return f"budget.max_latency_ms {wanted:g}: nothing was measured: {why}"
    if latency.median_ms <= wanted:
        return None
    return (
        f"budget.max_latency_ms {wanted:g}: an inference takes {latency.median_ms:.4g} ms (median of "
        f"{latency.calls}, one thread, on the machine that compressed it)"
    )

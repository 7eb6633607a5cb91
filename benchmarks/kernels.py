"""The operators against ONNX Runtime's own kernels: one table of what is asked and what was seen.

    .venv/bin/python -m benchmarks.kernels [--only fc|conv|batch|whole|decode] [--quick] [--isa NAME] [--threads N] [--seconds S]

Every ratio is of one run: compressed and dense take turns in one process, each bound to its input and output, on one thread,
by that thread's CPU time. Layers are made from a seed and compressed by the product. Before each call of a fully connected layer a buffer
larger than the last cache is read, so that weights come from memory; then a layer of a few weights runs, so that code does not. "In
turns" is without that: the others' weights alone have passed through the caches in between.
"fc" is batch 1, "batch" the others. A whole run ends with AVX2, scalar code and two threads, on a few layers each.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from benchmarks import kernel_decode, kernel_layers, kernel_runs, kernel_whole
from benchmarks.kernel_bars import lines, summary
from benchmarks.kernel_runs import SEED, Conditions, sweep_bytes
from benchmarks.results import show, write

SECTIONS = ("fc", "batch", "conv", "whole", "decode")
ISA_VARIABLE = "SPARSEBOOK_ISA"
VARIANTS: tuple[tuple[str | None, int], ...] = (("avx2", 1), ("scalar", 1), (None, 2))
COLUMNS = (
    "what",
    "how",
    "ONNX Runtime",
    "ours (quartiles)",
    "seen",
    "in turns",
    "must",
    "aim",
    "",
)


def main() -> None:
    """Measure, print the table, write the JSON."""
    arguments = _arguments()
    if arguments.isa:
        os.environ[ISA_VARIABLE] = arguments.isa  # the library reads it once, when it is loaded
    sweep = sweep_bytes(arguments.sweep)
    conditions = Conditions(arguments.seconds, arguments.threads, sweep)
    rows = []
    for row in measured(arguments.only or SECTIONS, conditions, quick=arguments.quick):
        rows.append(row)
        _say(row)
    if arguments.rows:
        arguments.rows.write_text(json.dumps(rows))
        return
    isa = arguments.isa or kernel_runs.isa() or "unknown"
    calls = kernel_runs.call_seconds(arguments.threads)
    table = list(lines(rows))
    show(
        f"Times as fast as ONNX Runtime, {arguments.threads} thread(s), kernels: {isa}; fully connected layers read from memory",
        COLUMNS,
        [line.cells() for line in table],
    )
    print(summary(table))
    print(
        f"a call that computes next to nothing takes {1e6 * calls['sparse']:.1f} µs, of theirs {1e6 * calls['gemm']:.1f}"
    )
    facts: dict[str, Any] = {
        "whole": not (arguments.quick or arguments.isa or arguments.threads > 1),
        "seed": SEED,
        "seconds": arguments.seconds,
        "swept_bytes": sweep,
        "isa": isa,
        "threads": arguments.threads,
        "call_seconds": calls,
        "table": [asdict(line) for line in table],
    }
    name = "-".join(
        ("kernels", *(arguments.only or ()), *([arguments.isa] if arguments.isa else ()))
    )
    print("written:", write(name, rows, **facts), flush=True)
    if not (arguments.quick or arguments.isa or arguments.threads > 1):
        variants = [_variant(*variant, arguments) for variant in VARIANTS]
        print("with the variants:", write(name, rows, **facts, variants=variants))


def measured(
    sections: Sequence[str], conditions: Conditions, *, quick: bool
) -> Iterator[dict[str, Any]]:
    """The rows of some sections, as they are measured."""
    batches = [*([1] if "fc" in sections else []), *([8, 64] if "batch" in sections else [])]
    if batches:
        for dense in kernel_layers.QUICK_DENSE if quick else kernel_layers.DENSE:
            yield from kernel_runs.dense_rows(dense, batches, conditions)
    if "conv" in sections:
        for conv in kernel_layers.QUICK_CONV if quick else kernel_layers.CONV:
            yield kernel_runs.conv_row(conv, conditions)
    if "whole" in sections:
        for name in ("alexnet",) if quick else ("vgg16", "alexnet"):
            yield from kernel_whole.paper_rows(name, conditions)
        for trained in kernel_whole.trained_pairs():
            yield kernel_whole.latency_row(*trained, 1, conditions)
    if "decode" in sections:
        yield from kernel_decode.decode_rows(conditions)


def _variant(isa: str | None, threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The quick layers with other kernels or threads, in a process of its own: nothing is asked of them."""
    wanted = [only for only in arguments.only or SECTIONS if only in ("fc", "batch", "conv")]
    if not wanted:
        return {"isa": isa, "threads": threads, "rows": []}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.json"
        command = [sys.executable, "-m", "benchmarks.kernels", "--quick", f"--rows={rows}"]
        command += [f"--seconds={arguments.seconds}", f"--threads={threads}"]
        command += [f"--only={only}" for only in wanted] + ([f"--isa={isa}"] if isa else [])
        command += [f"--sweep={arguments.sweep}"] if arguments.sweep is not None else []
        subprocess.run(command, check=True)
        found = json.loads(rows.read_text())
    unasked = [replace(line, bar=None) for line in lines(found)]
    title = f"Reported: kernels {isa or 'as the library chooses'}, {threads} thread(s)"
    show(title, COLUMNS, [line.cells() for line in unasked])
    return {"isa": isa, "threads": threads, "rows": found}


def _say(row: dict[str, Any]) -> None:
    for line in lines([row]):
        if line.what != "convolutions":
            print(f"{line.what}: {line.how}: {line.seen:.2f}x {line.verdict}", file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", choices=SECTIONS, action="append", help="may be repeated")
    parser.add_argument("--quick", action="store_true", help="a few layers of each kind")
    parser.add_argument("--isa", help=f"the kernels to force, by {ISA_VARIABLE}: avx2, scalar, ...")
    parser.add_argument(
        "--threads", type=int, default=1, help="of every session; more than one: wall clock"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="for one layer at one batch")
    parser.add_argument(
        "--sweep",
        type=int,
        metavar="MB",
        help="to read between calls; a tenth more than the last cache",
    )
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()

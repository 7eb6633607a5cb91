"""The command `sparsebook bench`."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from sparsebook_compressor.errors import BadValue
from sparsebook_service.cli import bench_tables, console, work
from sparsebook_service.cli.options import AsJson, Data

MOST_BATCH, MOST_THREADS = 4096, 1024
_DOORS: dict[str, Literal["operators", "provider"]] = {
    "operators": "operators",
    "provider": "provider",
}


def bench_command(
    artifact: Annotated[
        Path,
        typer.Argument(
            help="A compressed .onnx file, or its bundle.", metavar="ARTIFACT", show_default=False
        ),
    ],
    model: Annotated[
        Path,
        typer.Option(
            "--against", help="The model that the artifact was made from.", metavar="MODEL"
        ),
    ],
    data: Data = None,
    threads: Annotated[
        int, typer.Option("--threads", metavar="N", help="Threads of every session.")
    ] = 1,
    batches: Annotated[
        str,
        typer.Option(
            "--batches", metavar="N,N,…", help="Samples at once, where the model leaves that open."
        ),
    ] = "1,8,64",
    door: Annotated[
        str,
        typer.Option(
            "--door",
            metavar="operators|provider",
            help="How the artifact's operators come to ONNX Runtime: **operators** are registered with the session, "
            "**provider** is the execution provider (ONNX Runtime 1.24 or newer).",
        ),
    ] = "operators",
    seconds: Annotated[
        float,
        typer.Option(
            "--seconds", metavar="S", help="How long to measure the latency of each batch size."
        ),
    ] = 3.0,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", metavar="FILE", help="Write the figures there as JSON too."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure an artifact against its original in ONNX Runtime, on this machine.

    Loading, the first inference and resident memory are measured in processes of their own, each model three times; latency in
    one process, both models in turns, so that other work on the machine slows both. **Resident memory** is what the process
    holds beyond one that only imported ONNX Runtime. **Weights** is what the weights take in there, beside the processor's
    caches. **Energy** is shown where the system lets you read the processor's counters. Without `--data` inputs are made up.

    Examples:
    * `sparsebook bench model-sparsebook/model.onnx --against model.onnx`
    * `sparsebook bench model-sparsebook/model.onnx --against model.onnx --data samples.npz --threads 4 --batches 1,32`
    * `sparsebook bench model-sparsebook/model.onnx --against model.onnx --door provider -o figures.json`
    """
    from sparsebook_service.bench.measure import Wish, compare  # noqa: PLC0415  ONNX Runtime

    artifact = work.artifact_in(artifact)
    work.check_input(artifact, "the artifact")
    work.check_input(model, "the model")
    wish = Wish(
        _batches(batches), _threads(threads), _door(door), tuple(data or ()), _time(seconds)
    )
    work.Samples(wish.data).check()
    if out is not None and (out.is_dir() or not out.absolute().parent.is_dir()):
        raise BadValue(f"-o {out}: name a file in a folder that exists")
    with console.progress(not as_json) as shown:

        def listener(at: str, fraction: float) -> None:
            if shown is not None:
                shown.show("bench", at, fraction)

        found = compare(artifact, model, wish, listener)
    text = found.model_dump_json(indent=1) + "\n"
    if out is not None:
        out.write_text(text)
    if as_json:
        sys.stdout.write(text)
    else:
        bench_tables.comparison(found)


def _batches(given: str) -> tuple[int, ...]:
    try:
        found = tuple(sorted({int(part) for part in given.split(",")}))
    except ValueError:
        found = ()
    if not found or found[0] < 1 or found[-1] > MOST_BATCH:
        raise BadValue(
            f"--batches {given!r}: give whole numbers from 1 to {MOST_BATCH} with commas between them, such as 1,8,64"
        )
    return found


def _threads(given: int) -> int:
    if not 1 <= given <= MOST_THREADS:
        raise BadValue(f"--threads {given}: give a number from 1 to {MOST_THREADS}")
    return given


def _time(given: float) -> float:
    if not 0 < given <= 3600:
        raise BadValue(f"--seconds {given}: give a number above 0, at most 3600")
    return given


def _door(given: str) -> Literal["operators", "provider"]:
    if given not in _DOORS:
        raise BadValue(f"--door {given!r}: choose operators or provider")
    return _DOORS[given]

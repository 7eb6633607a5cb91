"""The commands, their options and their exit status.

Exit status: 0 done, 1 failed, 2 bad usage or bad input, 3 the budget or a gate could not be met, 130 interrupted, 143 and 129 ended
by SIGTERM and SIGHUP.
"""

import contextlib
import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

import sparsebook_compressor as compressor
from sparsebook_compressor.errors import BadValue, InputError, SparsebookError
from sparsebook_compressor.report import Report
from sparsebook_compressor.tuning.report import TuningReport
from sparsebook_service.cli import console, form, keys, tables, tuning_tables, work
from sparsebook_service.cli.bench import bench_command
from sparsebook_service.cli.doctor import doctor_command
from sparsebook_service.cli.interrupts import Interrupts
from sparsebook_service.cli.options import (
    ApiKey,
    AsJson,
    Base,
    Codec,
    ConfigFile,
    Data,
    Deadline,
    IdempotencyKey,
    Loss,
    MaxLatency,
    Metric,
    MinRatio,
    Model,
    Patience,
    Preset,
    Push,
    Seed,
    Webhook,
)
from sparsebook_service.cli.report import report_command
from sparsebook_service.cli.serving import serve_command, worker_command
from sparsebook_service.cli.updating import apply_command
from sparsebook_service.cli.verify import verify_command
from sparsebook_service.client import PATIENCE_SECONDS, ServiceProblem, Unreachable
from sparsebook_service.problems import BY_SLUG
from sparsebook_service.version import VERSION

DONE, FAILED, BAD_INPUT, OVER_BUDGET, INTERRUPTED = 0, 1, 2, 3, 130
DEBUG_VARIABLE = "SPARSEBOOK_DEBUG"

app = typer.Typer(
    name="sparsebook",
    help="Deep compression for ONNX models: 4 to 50 times smaller, still an .onnx file.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("compress")
def compress_command(
    model: Model,
    data: Data = None,
    preset: Preset = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            "--max-drop",
            metavar="X",
            help="Search for the smallest file whose metric on the eval part drops at most so much: 0.005 is half a point.",
        ),
    ] = None,
    min_ratio: MinRatio = None,
    max_latency: MaxLatency = None,
    loss: Loss = None,
    metric: Metric = None,
    base: Base = None,
    config: ConfigFile = None,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            metavar="operator|portable|dense",
            help="**operator** (default) is smallest and runs with our operator library; **portable** needs no "
            "library; **dense** is plain floats.",
        ),
    ] = None,
    codec: Codec = None,
    seed: Seed = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--out", help="Folder for the bundle. Default: MODEL's name with -sparsebook."
        ),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server", help="Compress on a Sparsebook service instead of here.", metavar="URL"
        ),
    ] = None,
    api_key: ApiKey = None,
    deadline: Deadline = None,
    webhook: Webhook = None,
    push: Push = None,
    idempotency_key: IdempotencyKey = None,
    patience: Patience = PATIENCE_SECONDS,
    as_json: AsJson = False,
) -> None:
    """Compress a model into a folder with the artifact, its report and the operator library.

    Examples:
    * `sparsebook compress model.onnx`
    * `sparsebook compress model.onnx --preset paper -o small/`
    * `sparsebook compress model.onnx --data samples.npz --max-drop 0.005`
    * `sparsebook compress model.onnx --output portable`
    * `sparsebook compress model.onnx --base last-release/ -o release/`
    * `sparsebook compress model.onnx --server http://127.0.0.1:8080 --json`
    """
    chosen = work.read_config(
        config,
        preset=preset,
        output=output,
        codec=codec,
        seed=seed,
        sections={
            "budget": {
                "max_drop": max_drop,
                "min_ratio": min_ratio,
                "max_latency_ms": max_latency,
            }
        },
    )
    work.check_input(model, "the model")
    samples = work.Samples(tuple(data or ()), loss, metric, base and work.artifact_in(base))
    samples.check()
    folder = out or Path(f"{model.stem}-sparsebook")
    work.check_output(folder)
    there = work.There(server or "", patience, api_key, deadline, webhook, push, idempotency_key)
    if server is None:
        there.refuse()
    with (
        _showing(folder, Report.from_json, tables.report, as_json),
        work.pointing_to_tune(model),
    ):
        if server is None:
            work.compress_here(model, folder, chosen, samples, quiet=as_json)
        else:
            work.compress_there(there, model, folder, chosen, samples, quiet=as_json)


@app.command("tune")
def tune_command(
    artifact: Annotated[
        Path, typer.Argument(help="A compressed .onnx file, or its bundle.", metavar="ARTIFACT")
    ],
    data: Data = None,
    config: ConfigFile = None,
    epochs: Annotated[
        int | None,
        typer.Option("--epochs", help="At most so many. Default: chosen by the data's size."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Of the first step. Default 0.001.")
    ] = None,
    loss: Loss = None,
    metric: Metric = None,
    seed: Seed = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--out", help="Folder for the bundle. Default: ARTIFACT's with -tuned."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Train the codebooks of an artifact on new data. Its codes and gaps stay as they are; no original is needed.

    Example: `sparsebook tune model-sparsebook/model.onnx --data samples.npz`
    """
    chosen = work.read_config(
        config, seed=seed, sections={"train": {"epochs": epochs, "learning_rate": learning_rate}}
    )
    artifact = work.artifact_in(artifact)
    work.check_input(artifact, "the artifact")
    if not data:
        raise BadValue("tuning needs data to train on: give an .npz with --data")
    samples = work.Samples(tuple(data), loss, metric)
    samples.check()
    folder = out or work.tuned_folder(artifact)
    work.check_output(folder)
    with _showing(folder, TuningReport.from_json, tuning_tables.tuning, as_json):
        work.tune_here(artifact, folder, chosen, samples, quiet=as_json)


R = TypeVar("R", Report, TuningReport)


class _Interrupted(SystemExit):
    """The end of a command that was interrupted and has said what there is."""


@contextlib.contextmanager
def _showing(
    bundle: Path, read: Callable[[str], R], show: Callable[[R], None], as_json: bool
) -> Iterator[None]:
    """Show the report of the bundle that the block writes, also where it stops with something to show."""
    path = bundle / "report.json"  # only the block writes there: the folder was empty before

    def show_it() -> None:
        if path.is_file():
            text = path.read_text()
            if as_json:
                sys.stdout.write(text)
            else:
                show(read(text))
                console.out.print(f"bundle: {bundle}", markup=False, soft_wrap=True)
                page = bundle / "report.html"
                if page.is_file():
                    console.out.print(f"report: {page}", markup=False, soft_wrap=True)

    try:
        try:
            yield
        except SparsebookError:
            show_it()
            raise
        show_it()
    except KeyboardInterrupt:
        if path.is_file():
            sys.stderr.write(f"interrupted; the bundle is whole: {bundle}\n")
            raise _Interrupted from None
        raise


@app.command("estimate")
def estimate_command(
    model: Model,
    preset: Preset = None,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Say in seconds what ratio to expect and how risky it is; nothing is written.

    Example: `sparsebook estimate model.onnx --preset paper`
    """
    chosen = work.read_config(config, preset=preset)
    work.check_input(model, "the model")
    with work.pointing_to_tune(model):
        found = compressor.estimate(model, chosen)
    if as_json:
        _print_json(found)
    else:
        tables.estimate(found)


@app.command("inspect")
def inspect_command(
    file: Annotated[
        Path, typer.Argument(help="An artifact, its bundle or a plain model.", metavar="FILE")
    ],
    as_json: AsJson = False,
) -> None:
    """List the weights of an artifact, or of a plain model.

    Example: `sparsebook inspect model-sparsebook/model.onnx`
    """
    file = work.artifact_in(file)
    work.check_input(file, "the file")
    found = compressor.inspect(file)
    if as_json:
        _print_json(found)
    else:
        tables.inspection(found)


@app.command("decompress")
def decompress_command(
    artifact: Annotated[
        Path, typer.Argument(help="A compressed .onnx file, or its bundle.", metavar="ARTIFACT")
    ],
    out: Annotated[
        Path, typer.Option("-o", "--out", help="The .onnx file to write.", metavar="FILE")
    ],
    as_json: AsJson = False,
) -> None:
    """Write an artifact's weights back as plain floats, for tools that know no other.

    Example: `sparsebook decompress model-sparsebook/model.onnx -o plain.onnx`
    """
    artifact = work.artifact_in(artifact)
    work.check_input(artifact, "the artifact")
    if out.is_dir():
        raise BadValue(f"{out} is a folder; name the file to write, such as {out / 'model.onnx'}")
    facts = compressor.decompress(artifact, out)
    if as_json:
        _print_json(facts)
    else:
        console.out.print(f"{out}: {form.size(facts.bytes)}, plain floats", markup=False)


app.command("apply")(apply_command)
app.command("bench")(bench_command)
app.command("report")(report_command)
app.command("doctor")(doctor_command)
app.add_typer(keys.app, name="keys")
app.command("verify")(verify_command)
app.command("serve")(serve_command)
app.command("worker")(worker_command)


@app.command("version")
def version_command() -> None:
    """Print the version."""
    console.out.print(f"sparsebook {VERSION}", markup=False)


def _print_json(found: Any) -> None:
    sys.stdout.write(json.dumps(dataclasses.asdict(found), indent=1, sort_keys=True) + "\n")


def main() -> None:
    """Run the command line; leaves with its exit status."""
    console.widen()
    interrupts = Interrupts()
    try:
        with interrupts.heard():
            _run()
    except _Interrupted:
        sys.exit(interrupts.status)
    except SystemExit as ended:
        if ended.code != INTERRUPTED:
            raise
        # typer has caught the interrupt, and says nothing
        sys.stderr.write("interrupted; nothing was written\n")
        sys.exit(interrupts.status)


def _run() -> None:
    try:
        app()
    except SparsebookError as error:
        console.error(str(error), _advice(error))
        sys.exit(_status(error))
    except Exception as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        console.error(
            f"a fault of Sparsebook's own: {type(error).__name__}: {error}; "
            f"set {DEBUG_VARIABLE}=1 for the traceback and report it"
        )
        sys.exit(FAILED)


# The details of these say what would be right here.
_SAY_THEMSELVES = {"bad-value", "bad-data", "unknown-option", "not-ready"}
_SAY_THEMSELVES |= {
    "not-trainable",
    "budget-not-met",
    "gate-not-met",
    "diverged",
    "quota-exceeded",
}


def _advice(error: SparsebookError) -> str | None:
    slug = _slug(error)
    if slug in _SAY_THEMSELVES or slug not in BY_SLUG or type(error) is Unreachable:
        return None
    return BY_SLUG[slug].remedy


def _slug(error: SparsebookError) -> str:
    return error.slug if isinstance(error, ServiceProblem) else error.problem


def _status(error: SparsebookError) -> int:
    if _slug(error) in {"budget-not-met", "gate-not-met"}:
        return OVER_BUDGET
    if isinstance(error, InputError):
        return BAD_INPUT
    if isinstance(error, ServiceProblem) and error.callers_fault:
        return BAD_INPUT
    return FAILED

"""What `sparsebook compress` does, here or on a server."""

import contextlib
import json
from pathlib import Path
from typing import Any

from sparsebook_compressor import compress
from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.progress import Progress
from sparsebook_compressor.report import Report
from sparsebook_runtime import library_path, platform_tag
from sparsebook_service.cli import console, later
from sparsebook_service.client import Client, ServiceProblem, Unreachable
from sparsebook_service.jobs.schemas import Job


def read_config(
    file: Path | None, *, preset: str | None, output: str | None, seed: int | None
) -> Config:
    """The config of a file, with the options of the command line on top.

    Raises:
        BadValue, UnknownOption: as `Config.parse`; or the file cannot be read.
    """
    raw: Any = {}
    if file is not None:
        try:
            raw = json.loads(file.read_text())
        except OSError as error:
            raise BadValue(f"--config {file}: {error.strerror}") from error
        except (ValueError, RecursionError) as error:
            raise BadValue(f"--config {file}: not JSON: {error}") from error
    options = {"preset": preset, "output": output, "seed": seed}
    given = {key: value for key, value in options.items() if value is not None}
    merged = {**raw, **given} if isinstance(raw, dict) else raw
    chosen = merged.get("preset") if isinstance(merged, dict) else None
    if isinstance(chosen, str) and chosen in later.PRESETS:
        later.refuse(chosen, later.PRESETS[chosen])
    return Config.parse(merged)


def check_input(path: Path, what: str) -> None:
    """Refuse early what is not a readable file.

    Raises:
        BadValue: there is no such file, or it is a folder.
    """
    if not path.is_file():
        reason = "is not a file" if path.exists() else "does not exist"
        raise BadValue(f"{what} {path} {reason}")


def check_output(folder: Path) -> None:
    """Refuse early a folder that is in use.

    Raises:
        BadValue: it exists and is not an empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadValue(
            f"{folder} exists and is not empty; choose another folder with -o, or remove it first"
        )


def compress_here(
    model: Path, out: Path, config: Config, data: Path | None, *, quiet: bool
) -> Report:
    """Compress in this process."""
    with console.progress_bar(not quiet) as bar:

        def listener(step: Progress) -> None:
            if bar is not None:
                bar.show(step.stage, step.weight, step.fraction)

        return compress(
            model,
            out,
            config,
            data=data,
            operator_library=library_path(),
            platform=platform_tag(),
            progress=listener,
        )


def compress_there(
    server: str, model: Path, out: Path, config: Config, data: Path | None, *, quiet: bool
) -> Report:
    """Compress on a server and download the bundle; a job that is interrupted here is cancelled there."""
    with Client(server) as client, console.progress_bar(not quiet) as bar:
        job = client.compress(model, config=config, data=data)
        if not quiet:
            console.say(f"job {job.id} at {server}")

        def on_change(now: Job) -> None:
            if bar is not None:
                bar.show(now.stage, now.weight, now.progress)

        try:
            done = client.wait(job.id, on_change)
            client.download(done, out)
        except KeyboardInterrupt:
            with contextlib.suppress(ServiceProblem, Unreachable):
                client.cancel(job.id)
            raise
    return Report.from_json((out / "report.json").read_text())

"""What others make of a model: orders to the peers' environments, rows and files back."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from benchmarks.peer_layers import QUIET, python_of
from benchmarks.peer_models import Arrays, Subject, feeds
from benchmarks.peer_rows import (
    DERIVED,
    ORIGINAL,
    PEER,
    Made,
    Outputs,
    Row,
    relative_error,
    timed,
)
from benchmarks.sessions import session
from sparsebook_compressor.graph.tensors import STORED
from sparsebook_compressor.graph.view import survey
from sparsebook_runtime import library_path

QUANTISERS = ("dynamic int8", "static int8", "4-bit MatMul")
# Steps from 2^-2.5 to 2^-12.5 of 1, one to a halving.
QPS = tuple(range(-10, -53, -4))


def ask(environment: str, module: str, order: Any, folder: Path) -> Any:
    """Have a child in a peer's environment carry out an order.

    Raises:
        RuntimeError: it does not; the text is its last line.
    """
    asked, answered = folder / "order.json", folder / "answer.json"
    asked.write_text(json.dumps(order))
    answered.unlink(missing_ok=True)
    python = python_of(environment).absolute()
    if not python.exists():
        raise RuntimeError(f"no {python_of(environment)}: run `make .venv-peer-{environment}`")
    command = [str(python), "-m", f"benchmarks.{module}", str(asked), str(answered)]
    # An environment of its own: nothing of the caller's is on its path.
    own = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**own, **QUIET}
    )
    if done.returncode or not answered.exists():
        lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
        raise RuntimeError(lines[-1][:160])
    return json.loads(answered.read_text())


def save_feeds(model: Path, arrays: Arrays, file: Path) -> Path:
    """Write samples as feeds for a child."""
    given = feeds(session(model), arrays)
    flat = {f"{i}/{name}": array for i, feed in enumerate(given) for name, array in feed.items()}
    np.savez(file, **flat)  # type: ignore[arg-type, unused-ignore]
    return file


def quantised(subject: Subject, folder: Path) -> Iterator[Made]:
    """ONNX Runtime's own quantisers."""
    data = save_feeds(subject.model, subject.calibration, folder / "calibration.npz")
    jobs = [
        {
            "kind": kind,
            "model": str(subject.model.absolute()),
            "out": str(folder / f"{kind.replace(' ', '-')}.onnx"),
            "data": str(data),
        }
        for kind in QUANTISERS
    ]
    found = ask("ort", "peer_light_child", jobs, folder)
    for job, answer in zip(jobs, found["jobs"], strict=True):
        note = f" ({answer['note']})" if answer.get("note") else ""
        row = Row(subject.name, subject.family, "ONNX Runtime", job["kind"] + note, PEER)
        facts = {key: answer.get(key) for key in ("bytes", "seconds", "failure")}
        yield Made(replace(row, **facts), Path(job["out"]))


def zstd(files: list[Made], folder: Path) -> Iterator[Made]:
    """Files packed by zstd -19: the floats of ours, the original, what others wrote."""
    jobs = [{"kind": "zstd", "model": str(made.file.absolute())} for made in files]
    found = ask("ort", "peer_light_child", jobs, folder)["jobs"]
    for made, answer in zip(files, found, strict=True):
        facts = {key: answer.get(key) for key in ("bytes", "seconds", "failure")}
        whose, kind = made.row.who, made.row.kind
        setting = (
            made.row.setting if kind in (ORIGINAL, DERIVED) else f"{whose}, {made.row.setting}"
        )
        row = replace(made.row, who="zstd -19", setting=setting, **facts)
        yield Made(row, made.file, timed=False)


def zipnn(files: list[Made], folder: Path) -> Iterator[Made]:
    """ZipNN over files of floats."""
    order = [str(made.file.absolute()) for made in files]
    for made, size in zip(files, ask("zipnn", "peer_zipnn_child", order, folder), strict=True):
        yield Made(replace(made.row, who="ZipNN", bytes=size), made.file, timed=False)


def nncodec(subject: Subject, folder: Path) -> Iterator[Made]:
    """NNCodec over every weight, at many steps; what is no weight stays as it is in the file, and counts."""
    model = onnx.load(subject.model)
    weights = {
        str(index): weight
        for index, weight in enumerate(survey(model, subject.model).weights)
        if weight.shape and isinstance(weight.holder, onnx.TensorProto)
    }
    rest = subject.model.stat().st_size - sum(each.stored_bytes for each in weights.values())
    file = folder / "weights.npz"
    values = {
        key: each.read().reshape(each.shape).astype(np.float32) for key, each in weights.items()
    }
    np.savez(file, **values)  # type: ignore[arg-type, unused-ignore]
    order = {"weights": str(file), "qps": QPS, "folder": str(folder)}
    sizes: Mapping[str, int] = ask("nncodec", "peer_nncodec_child", order, folder)
    for qp, size in sizes.items():
        with np.load(folder / f"{qp}.npz") as decoded:
            for key, weight in weights.items():
                found = decoded[key].astype(STORED[weight.dtype])
                holder = weight.holder
                assert isinstance(holder, onnx.TensorProto)
                holder.CopyFrom(numpy_helper.from_array(found, holder.name))
        out = folder / f"nncodec{qp}.onnx"
        onnx.save(model, out)
        row = Row(subject.name, subject.family, "NNCodec", f"qp {qp}", PEER, bytes=rest + size)
        yield Made(row, out, timed=False)


def engine(
    name: str,
    subject: Subject,
    ours: Path,
    plain: dict[str, Path],
    expected: list[Outputs],
    seconds: float,
    folder: Path,
) -> tuple[str, list[Row]]:
    """An engine in its own environment, beside ONNX Runtime and ours.

    Args:
        name: nncf or deepsparse.
        subject: the model.
        ours: an artifact to time beside it.
        plain: floats to run, by setting.
        expected: the original's outputs of the held-out samples.
        seconds: for the timing.
        folder: for files.
    """
    order = {
        "engine": name,
        "model": str(subject.model.absolute()),
        "artifact": str(ours.absolute()),
        "library": str(library_path()),
        "plain": {setting: str(file.absolute()) for setting, file in plain.items()},
        "calibration": str(save_feeds(subject.model, subject.calibration, folder / "c.npz")),
        "held": str(save_feeds(subject.model, subject.held, folder / "h.npz")),
        "folder": str(folder),
        "seconds": seconds,
    }
    answer = ask(name, "peer_engine_child", order, folder)
    rows = []
    who = {"nncf": "NNCF + OpenVINO", "deepsparse": "DeepSparse"}[name]
    kind = PEER if name == "nncf" else DERIVED
    for found in answer["rows"]:
        row = Row(subject.name, subject.family, who, found["setting"], kind)
        facts = {key: found.get(key) for key in ("bytes", "seconds", "failure")}
        row = replace(row, **facts)
        if "outputs" in found:
            try:
                row = replace(row, error=relative_error(expected, _outputs(found["outputs"])))
            except ValueError as error:
                row = replace(row, failure=str(error))
            row = timed(row, answer["taken"], found["setting"], "onnxruntime")
        rows.append(row)
    beside = Row(subject.name, subject.family, "Sparsebook", f"beside {who}", "timing")
    rows.append(timed(beside, answer["taken"], "sparsebook", "onnxruntime"))
    return answer["version"], rows


def _outputs(file: str) -> list[Outputs]:
    with np.load(file) as arrays:
        places = sorted(tuple(map(int, key.split("/"))) for key in arrays.files)
        found: list[Outputs] = [[] for _ in range(places[-1][0] + 1)]
        for sample, output in places:
            found[sample].append(arrays[f"{sample}/{output}"])
    return found

"""What works here and what does not, tried out, and how to mend what does not."""

import importlib.metadata
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

import sparsebook_runtime
from sparsebook_compressor import Config, compress
from sparsebook_compressor.errors import SparsebookError
from sparsebook_compressor.words import size
from sparsebook_service.database import open_database
from sparsebook_service.finetune.program import Trainer
from sparsebook_service.jobs import sandbox
from sparsebook_service.libraries import Libraries
from sparsebook_service.s3 import open_storage
from sparsebook_service.settings import Settings
from sparsebook_service.version import VERSION

State: TypeAlias = Literal["ok", "missing", "broken"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried.

    Attributes:
        what: it is.
        state: "missing" is what Sparsebook can do without, "broken" what it cannot.
        found: what came of it.
        mend: what to do; empty where there is nothing to be done.
    """

    what: str
    state: State
    found: str
    mend: str = ""


def check_all(settings: Settings) -> Iterator[Check]:
    """Try everything, one after the other."""
    yield Check("versions", "ok", _versions())
    yield _tried(
        "operator library",
        _library,
        "install sparsebook-runtime again (`make .venv` in a checkout)",
    )
    yield _tried(
        "compress and run a model",
        _end_to_end,
        "see the message; `make test` in a checkout says more",
    )
    yield _trainer(settings)
    yield _walls()
    folder = f"choose another --data-dir (SPARSEBOOK_DATA_DIR), or mend the rights of {settings.data_dir.absolute()}"
    yield _tried("data folder", lambda: _data_folder(settings), folder)
    if settings.database_url is not None:
        yield _tried(
            "database",
            lambda: _database(settings),
            "check SPARSEBOOK_DATABASE_URL, and that Postgres runs",
        )
    if settings.storage is not None:
        yield _tried(
            "bucket", lambda: _bucket(settings), "check SPARSEBOOK_STORAGE and the AWS_… variables"
        )


def _tried(what: str, attempt: Callable[[], str], mend: str) -> Check:
    try:
        return Check(what, "ok", attempt())
    except Exception as error:  # whatever it is, the reader is to know, and the other checks go on
        return Check(what, "broken", f"{type(error).__name__}: {error}", mend)


def _versions() -> str:
    named = ("onnxruntime", "onnx", "numpy")
    others = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in named)
    return (
        f"sparsebook {VERSION}, Python {platform.python_version()}, {others}, {platform.platform()}"
    )


def _library() -> str:
    path = sparsebook_runtime.library_path()
    options = ort.SessionOptions()
    options.register_custom_ops_library(str(path))
    return f"{path.name} for {sparsebook_runtime.platform_tag()} loads"


def _end_to_end() -> str:
    """A small model is compressed and its artifact runs, from its payloads."""
    library = Libraries.find(None)
    with tempfile.TemporaryDirectory() as folder:
        model, out = Path(folder) / "model.onnx", Path(folder) / "out"
        onnx.save(_model(), model)
        report = compress(
            model,
            out,
            Config.parse({"preset": "paper"}),
            operator_library=library.own,
            platform=library.platform,
        )
        if report.fidelity.skipped is not None:
            raise RuntimeError(f"the artifact was not run: {report.fidelity.skipped}")
        session = sparsebook_runtime.InferenceSession(str(out / "model.onnx"))
        session.run(None, {"x": np.zeros((1, 256), np.float32)})
        held = sparsebook_runtime.live_weights() or []
        del session
    kinds = sorted({row["isa"] for row in held}) or ["unknown"]
    return f"{report.ratio:.1f} times smaller, kernels of {', '.join(kinds)}"


def _model() -> onnx.ModelProto:
    values = np.random.default_rng(0).standard_normal((256, 256)).astype(np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "doctor",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 256])],
        [numpy_helper.from_array(values, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def _trainer(settings: Settings) -> Check:
    what, trainer = "fine-tuning worker", Trainer.of(settings)
    try:
        trainer.check()
    except SparsebookError as error:
        state: State = "broken" if trainer.is_there else "missing"
        mend = "without it nothing is retrained; what needs no data works all the same"
        return Check(what, state, str(error), mend)
    return Check(what, "ok", f"{trainer.python} starts")


def _walls() -> Check:
    lacks = sandbox.missing()
    if not lacks:
        return Check("walls around jobs", "ok", "rlimits, landlock and seccomp stand")
    mend = "a kernel with landlock, and libseccomp 2 (Debian: libseccomp2); until then serve only files that you trust"
    return Check("walls around jobs", "missing", "; ".join(lacks), mend)


def _data_folder(settings: Settings) -> str:
    folder = settings.data_dir.absolute()
    # Nothing is made that is not there: the nearest folder that is tells as much.
    nearest = next(each for each in (folder, *folder.parents) if each.is_dir())
    with tempfile.NamedTemporaryFile(dir=nearest) as file:
        file.write(b"x")
        file.flush()
        os.fsync(file.fileno())
    free = shutil.disk_usage(nearest).free
    if free < settings.min_free_bytes:
        raise OSError(
            f"{nearest} has {size(free)} free, and with less than {size(settings.min_free_bytes)} (SPARSEBOOK_MIN_FREE_BYTES) "
            "uploads are refused"
        )
    there = "can be written" if nearest == folder else "is not there yet, and can be made"
    return f"{folder} {there}, {size(free)} free"


def _database(settings: Settings) -> str:
    engine = open_database(settings.database_url, settings.database_file)
    engine.dispose()
    return f"{engine.url.host} answers"


def _bucket(settings: Settings) -> str:
    open_storage(settings)
    return f"{settings.storage} can be used"

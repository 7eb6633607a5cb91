import asyncio
import dataclasses
import threading
from pathlib import Path
from typing import cast

import pytest
from pydantic import ValidationError

from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import InternalError
from sparsebook_compressor.protocol import Protocol, StageMetric
from sparsebook_compressor.report import (
    BytesByPart,
    Fidelity,
    FileFacts,
    OutputFidelity,
    Report,
)
from sparsebook_service.finetune.service import Asking, Trainings
from sparsebook_service.intake.parts import Part, Upload
from sparsebook_service.jobs.bell import Bell
from sparsebook_service.jobs.process import JobProcess
from sparsebook_service.jobs.protocol import (
    Answer,
    Limits,
    MadeFile,
    Order,
    Stopped,
    Train,
    TrainingStopped,
)
from sparsebook_service.jobs.results import summarise
from sparsebook_service.jobs.training import Training
from sparsebook_service.storage import Storage


def test_bell_wakes_who_waits() -> None:
    async def wait() -> tuple[bool, bool]:
        bell = Bell(asyncio.get_running_loop())
        with bell.listen("a") as heard, bell.listen("b") as not_heard:
            threading.Thread(target=bell.ring, args=("a",)).start()
            await asyncio.wait_for(heard.wait(), 10)
            return heard.is_set(), not_heard.is_set()

    assert asyncio.run(wait()) == (True, False)


def test_a_closed_bell_lets_nobody_wait() -> None:
    async def wait() -> bool:
        bell = Bell(asyncio.get_running_loop())
        with bell.listen("a") as heard:
            bell.close()
            await asyncio.wait_for(heard.wait(), 10)
        with bell.listen("a") as late:
            return late.is_set()

    assert asyncio.run(wait())


def report(*outputs: OutputFidelity) -> Report:
    return Report(
        input=FileFacts("m.onnx", 1000, "in"),
        artifact=FileFacts("model.onnx", 100, "out"),
        ratio=10.0,
        output="operator",
        config={},
        seed=0,
        weights=(),
        kept=(),
        bytes=BytesByPart(1, 2, 3, 4, 90),
        fidelity=Fidelity("synthetic", 8, "operator", outputs),
        stages=(),
        versions={},
    )


def test_metrics_are_those_of_the_worst_output() -> None:
    result = summarise(
        "7",
        report(OutputFidelity("a", 0.5, 0.1, 0.9, None), OutputFidelity("b", 0.1, 0.2, 0.8, 0.75)),
        [MadeFile(name="lib/x y.so", bytes=3, sha256="d")],
    )
    assert result.metrics.model_dump() == {
        "inputs": "synthetic",
        "samples": 8,
        "max_error": 0.5,
        "relative_error": 0.2,
        "cosine": 0.8,
        "agreement": 0.75,
        "latency_ms": None,
        "trained": None,
    }
    assert result.files[0].href == "/jobs/7/artifact/lib/x%20y.so"
    assert (result.bytes, result.ratio) == (100, 10.0)
    assert set(summarise("7", report(), []).metrics.model_dump().values()) == {None}


def test_a_trained_model_has_its_metric_on_the_test_part() -> None:
    stages = (StageMetric("original", 0.98, 0.0), StageMetric("artifact", 0.97, 0.01))
    protocol = Protocol("loss", "top-1 accuracy", {}, {}, stages, (), (), (), (), {})
    found = summarise("7", dataclasses.replace(report(), training=protocol), []).metrics.trained
    assert found is not None
    assert found.model_dump() == {
        "name": "top-1 accuracy",
        "before": 0.98,
        "after": 0.97,
        "drop": 0.01,
    }


def test_fingerprints() -> None:
    def upload(name: str = "m", *, key: str = "k1", data: Part | None = None) -> Upload:
        return Upload(Part(name, key, 5, "digest"), [data] if data else [])

    config = Config.parse({"preset": "paper"})
    same = upload().fingerprint(config)
    assert upload(key="k2").fingerprint(config) == same
    assert upload(data=Part("d", "k", 1, "digest")).fingerprint(config) != same
    assert upload("n").fingerprint(config) != same
    assert upload().fingerprint(Config()) != same
    assert upload().fingerprint(Config.parse({"preset": "paper", "seed": 0})) == same


def test_a_config_keeps_what_was_given() -> None:
    given = {"share": {"init": "linear"}, "weights": {"w*": {"bits": 4}}}
    kept = Config.parse(given).as_given()
    assert kept == {"preset": "safe", "output": "operator", "seed": 0, **given}
    assert Config.parse(kept).share.model_fields_set == {"init"}


def order(out: Path, model: Path, **limits: int) -> Order:
    return Order(
        model=model,
        external=0,
        data=(),
        loss=None,
        metric=None,
        config={},
        runtimes=None,
        out=out,
        limits=Limits(
            address_space_bytes=64 << 30,
            cpu_seconds=limits.get("cpu_seconds"),
            file_bytes=None,
            unpacked_bytes=1 << 30,
            zip_ratio=100,
        ),
    )


@pytest.mark.usefixtures("warm_nursery")
def test_a_process_says_why_it_stops(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"no model")
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported from the working folder')")
    with JobProcess(order(tmp_path, model)) as process:
        said = [message for message in process.messages(0.5) if message is not None]
        assert process.exit_status() == 0, process.last_words()
    last = said[-1]
    assert isinstance(last, Stopped)
    assert (last.problem, "m.onnx" in last.detail) == ("not-onnx", True)


@pytest.mark.usefixtures("warm_nursery")
def test_a_process_that_is_left_is_killed(tmp_path: Path) -> None:
    model = tmp_path / "m.onnx"
    model.write_bytes(b"no model")
    with JobProcess(order(tmp_path, model)) as process:
        pass
    assert process.exit_status() == -9


def test_a_process_gets_no_training_of_folders_that_are_not_its_own(tmp_path: Path) -> None:
    said: list[Answer] = []
    asked: list[tuple[Path, Path]] = []

    class Asked(Asking):
        def ask(self, order: Path, dataset: Path) -> str:
            asked.append((order, dataset))
            raise InternalError("reached")

    job = tmp_path / "job"
    (job / "order").mkdir(parents=True)
    (job / "link").symlink_to("/etc")
    storage = Storage(tmp_path / "files")
    asking = Asked(storage, cast("Trainings", None), "7", lambda: None)
    training = Training(job, asking, said.append, lambda _waiting: None)
    for outside in (tmp_path, Path("/etc"), job / "link", job / "../x"):
        training.begin(Train(order=job / "order", dataset=outside))
        training.begin(Train(order=outside, dataset=job / "order"))
    assert asked == []
    assert [
        answer.detail.split()[-1] for answer in said if isinstance(answer, TrainingStopped)
    ] == ["folder"] * 8
    training.begin(Train(order=job / "order", dataset=job / "order"))
    assert len(asked) == 1


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../b", "", "a\\b"])
def test_a_jobs_process_names_no_file_outside_its_bundle(name: str) -> None:
    with pytest.raises(ValidationError, match="the file name"):
        MadeFile(name=name, bytes=1, sha256="")

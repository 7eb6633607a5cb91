"""Every loss in the training graph: its value by the textbook formula, its gradient by finite differences."""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, compose, helper

from sparsebook_compressor.training.aim.metrics import record_teacher
from sparsebook_compressor.training.losses.attach import OUTPUTS, attach
from tests.unit.compressor.training.cases import LOSSES, LossCase
from tests.unit.compressor.training.data import Job

PYTHON = Path(__file__).parents[4] / ".venv-trainer/bin/python"
OPSETS = (12, 17, 21)
# A loss of the caller's own is brought to opset 13 at least, as every graph that is prepared for training.
CASES = [
    (name, max(opset, 13) if case.own else opset)
    for name, case in LOSSES.items()
    for opset in OPSETS
]


class Attached:
    """A case with everything around it: the job, and the training graph of another model of the same kind."""

    def __init__(self, folder: Path, case: LossCase, opset: int) -> None:
        own = None if case.own is None else case.own(folder)
        self.job = Job(folder, case.make(0, opset), dict(case.arrays), own_loss=own, **case.choice)
        record_teacher(self.job.path, self.job.dataset, self.job.objective)
        self.student = case.make(1, opset)
        self.graph = attach(self.student, self.job.objective, self.job.dataset)

    def feed(self) -> dict[str, np.ndarray]:
        names = [given.name for given in self.graph.graph.input]
        (feed,) = self.job.dataset.batches("train", 64, names)
        return feed

    def run(self) -> dict[str, float]:
        values = session(self.graph).run(None, self.feed())
        assert all(found.shape == () and found.dtype == np.float32 for found in values)
        return dict(zip(OUTPUTS, map(float, values), strict=True))

    def positions(self) -> int:
        """How many choices the first output holds."""
        objective = self.job.objective
        output = session(self.student).run(None, {"x": self.feed()["x"]})[0]
        is_choice = objective.chosen or objective.target == "binary"
        return output.size if is_choice else output.size // output.shape[objective.axis]


def session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def by_formula(attached: Attached, case: LossCase) -> float:
    """The loss in float64: the student's values before the ending, the original's outputs, the arrays."""
    dataset, objective = attached.job.dataset, attached.job.objective
    (arrays,) = dataset.batches("train", 64)
    inside = ModelProto()
    inside.CopyFrom(attached.student)
    for name in {"z", "large"} & {name for node in inside.graph.node for name in node.output}:
        if name not in {output.name for output in inside.graph.output}:
            inside.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    running = session(inside)
    found = dict(
        zip(
            [o.name for o in running.get_outputs()],
            running.run(None, {"x": arrays["x"]}),
            strict=True,
        )
    )
    original = session(attached.job.model).run(None, {"x": arrays["x"]})
    teacher = {
        i: output.astype(np.float64) if output.dtype == np.float32 else output
        for i, output in enumerate(original)
    }
    more = {f"scale {i}": np.square(teacher[i]).mean() for i in objective.floats if i in teacher}
    more |= {name: array.astype(np.float64) for name, array in found.items()}
    return case.formula(found["z"].astype(np.float64), teacher, {**arrays, **more})


@pytest.mark.parametrize(("name", "opset"), CASES)
def test_a_loss_is_its_formula_and_the_metric_in_the_graph_is_the_one_that_is_reported(
    name: str, opset: int, tmp_path: Path
) -> None:
    case = LOSSES[name]
    attached = Attached(tmp_path, case, opset)
    objective = attached.job.objective
    assert (objective.loss, objective.metric) == (case.loss, case.metric)
    onnx.checker.check_model(attached.graph, full_check=True)
    described = json.loads((attached.job.dataset.shared / "dataset.json").read_text())
    assert set(described["inputs"]) == {given.name for given in attached.graph.graph.input}
    found = attached.run()
    assert found["loss"] == pytest.approx(by_formula(attached, case), rel=2e-5)
    student = tmp_path / "student.onnx"
    student.write_bytes(attached.student.SerializeToString())
    reported = attached.job.measure(student, "train")
    ratio = found["metric_sum"] / found["metric_weight"]
    value = ratio if objective.form == "mean" else 1 - ratio**0.5
    assert value == pytest.approx(reported, abs=2e-5)
    if objective.metric in ("accuracy", "agreement"):
        assert found["metric_weight"] == attached.positions()
    if objective.against == "original" and objective.metric != "own":
        assert attached.job.measure(attached.job.path, "train") == pytest.approx(1)


@pytest.mark.parametrize("opset", [13, 21])
def test_gradients_are_those_of_finite_differences(opset: int, tmp_path: Path) -> None:
    """All losses in one graph, so that the worker's environment starts once."""
    whole = onnx.GraphProto(name="losses")
    feeds: dict[str, np.ndarray] = {}
    cases: dict[str, list[str]] = {}
    for number, case in enumerate(LOSSES.values()):
        attached = Attached(tmp_path / str(number), case, opset)
        prefix = f"c{number}/"
        graph = compose.add_prefix(attached.graph, prefix).graph
        whole.node.extend(graph.node)
        whole.initializer.extend(graph.initializer)
        whole.input.extend(graph.input)
        feeds |= {prefix + key: array for key, array in attached.feed().items()}
        cases[f"{prefix}loss"] = [f"{prefix}w", f"{prefix}b"]
    total, *others = cases
    for other in others:  # Sum has no gradient
        whole.node.append(helper.make_node("Add", [total, other], [f"{total}+"], f"{total}+"))
        total += "+"
    for output in (total, *cases):
        whole.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, []))
    model = helper.make_model(whole, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    found = _slopes(tmp_path, model, feeds, cases)
    for name, slopes in zip(LOSSES, found.values(), strict=True):
        assert len(slopes) == 2
        for gradient, difference, scale in slopes:
            assert scale > 1e-3, name
            assert gradient == pytest.approx(difference, rel=0.02, abs=0.02 * scale), name


def _slopes(
    folder: Path,
    model: ModelProto,
    feeds: Mapping[str, np.ndarray],
    cases: Mapping[str, list[str]],
) -> dict[str, list[list[float]]]:
    assert PYTHON.exists(), f"{PYTHON} is missing: make .venv-trainer"
    (folder / "graph.onnx").write_bytes(model.SerializeToString())
    np.savez(folder / "inputs.npz", **feeds)
    (folder / "cases.json").write_text(json.dumps(cases))
    program = Path(__file__).with_name("gradients.py")
    done = subprocess.run(
        [PYTHON, "-P", program, folder], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, list[list[float]]] = json.loads((folder / "slopes.json").read_text())
    return found

"""Every row of the table, at every opset: the forward pass is the original's, the gradient that of finite differences."""

from pathlib import Path

import onnx
import pytest

from sparsebook_compressor.trainable.table import TABLE
from tests.unit.compressor.trainable.cases import CASES, NEWEST, Case
from tests.unit.compressor.trainable.running import (
    Prepared,
    Task,
    difference,
    differentiate,
    run,
    worst,
)

OLDEST = 12
# Where all cases are differentiated; elsewhere those of which an op is defined anew there.
WHOLE = (13, 17, 21)


def _changes(case: Case, opset: int) -> bool:
    nodes = [node for node in case.model(opset).graph.node[3:] if not node.domain]
    return any(
        onnx.defs.get_schema(node.op_type, opset, "").since_version == opset for node in nodes
    )


def _cases(opset: int) -> list[Case]:
    return [
        case
        for case in CASES
        if case.since <= opset <= case.until and (opset in WHOLE or _changes(case, opset))
    ]


def _task(case: Case, opset: int, folder: Path) -> Task:
    path = folder / "case.onnx"
    path.write_bytes(case.model(opset).SerializeToString())
    outputs = run(path, case.feeds())
    prepared = Prepared.of(path)
    assert not prepared.trainable.frozen, case.name
    assert len(prepared.trainable.vectors) == case.trained, case.name
    filled = prepared.filled()
    assert difference(outputs, run(filled, case.feeds())) < 1e-5, case.name
    return Task(case.name, filled, case.feeds(), prepared.parameters, outputs)


@pytest.mark.parametrize("opset", range(OLDEST, NEWEST + 1))
def test_gradients_are_those_of_finite_differences(opset: int, tmp_path: Path) -> None:
    tasks = [_task(case, opset, tmp_path) for case in _cases(opset)]
    assert tasks
    errors = worst(differentiate(tasks, tmp_path))
    assert {name: error for name, error in errors.items() if error > 0.03} == {}


def test_every_row_has_a_case() -> None:
    assert {op for _, op in TABLE} == {case.op for case in CASES}

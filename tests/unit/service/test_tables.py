"""Tables and progress on narrow terminals: nothing is cut, and what has no room is named."""

import io

import pytest
from rich.console import Console

from sparsebook_compressor.protocol import (
    EpochRow,
    Phase,
    Point,
    PointWeight,
    Protocol,
    StageMetric,
)
from sparsebook_compressor.report import (
    BytesByPart,
    Fidelity,
    FileFacts,
    OutputFidelity,
    Report,
    WeightRow,
)
from sparsebook_service.cli import console, tables

NAMES = ("/model/encoder/layer.0/attention/self/query/MatMul_weight", "fc1", "fc2", "fc3")
EPOCHS = (EpochRow(0, None, 2.3026, 0.1009), EpochRow(1, 1.234, 0.4321, 0.9012))


def phase(stage: str, kept: int) -> Phase:
    return Phase(stage, 1, 0.083, 1e-3, 0, EPOCHS, kept, "finished", 12.3, 45678.9, "cpu")


def point(number: int, weights: int) -> Point:
    plan = tuple(PointWeight(name, 0.08 + 0.1 * at, 3 + at) for at, name in enumerate(NAMES))
    return Point(number, 12345, 21.5, 0.083, 0.97, 0.012, True, number == 2, plan[:weights])


PROTOCOL = Protocol(
    loss="cross-entropy of 'y' with the labels",
    metric="top-1 accuracy",
    splits={"train": {"samples": 960, "origin": "given"}},
    settings={},
    stages=(StageMetric("original", 0.98, 0.0), StageMetric("artifact", None, None)),
    phases=(phase("retrain", 1), phase("tune", 0)),
    points=(point(1, 3), point(2, 4)),
    frozen=(),
    rewritten=(),
    versions={},
    selection="lowest loss on the eval part",
)


def report() -> Report:
    weight = WeightRow(
        name=NAMES[0],
        role="matmul",
        shape=(12544, 4096),
        dtype="float32",
        elements=51380224,
        density=0.083,
        layout="gaps",
        code_bits=5,
        code_bits_huffman=3.7,
        gap_bits=8,
        gap_bits_huffman=5.1,
        rate_shared=0.043,
        rate_huffman=0.031,
        relative_error=0.215,
        centroids=31,
        bytes_before=205520896,
        bytes_after=1234567,
        operators=("Gemm",),
        form="window",
    )
    return Report(
        input=FileFacts("m.onnx", 1000, "in"),
        artifact=FileFacts("model.onnx", 100, "out"),
        ratio=10.0,
        output="operator",
        config={},
        seed=0,
        weights=(weight,),
        kept=(),
        bytes=BytesByPart(1, 2, 3, 4, 90),
        fidelity=Fidelity("given", 8, "operator", (OutputFidelity("y", 0.5, 0.1, 0.9, 0.5),)),
        stages=(),
        versions={},
        training=PROTOCOL,
    )


def shown(width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setattr(console.out, "width", width)
    tables.report(report())
    return capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_report_fits_its_terminal(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(width, monkeypatch, capsys)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "0 the one before training: lowest loss on the eval part" in " ".join(text.split())
    # What matters most is there at every width, each cell whole.
    for cell in (
        *("retrain 1", "2.3026 → 0.4321", "0.1009 → 0.9012", "finished"),
        *("206 MB → 1.23 MB", "+Huffman", "8.3%", "not finite", "+0.0120", "chosen"),
        *("8, 18, 28%", "3, 4, 5", "8 to 38%", "3 to 6"),
    ):
        assert cell in text, cell
    assert ("no room for" in text) == (width < 200)
    assert text.count("(--json has all)") == text.count("no room for")
    assert ("samples/s" in text.split("no room for")[0]) == (width == 200)


def test_what_was_before_training_has_no_course(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(200, monkeypatch, capsys)
    row = next(line for line in text.splitlines() if "tune 1" in line)
    assert "→" not in row
    assert row.split()[5:8] == ["0", "2.3026", "0.1009"]


def test_progress_is_not_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(console, "err", terminal)
    waiting = (
        "waiting for a fine-tuning worker: none is running; start one with "
        "`sparsebook worker --queue finetune --data-dir /var/lib/sparsebook`"
    )
    with console.Bar() as bar:
        bar.show("retrain", "epoch 3/8  loss 0.3127  metric 0.9712  2103 samples/s", 0.5)
        bar.show("retrain", waiting, 0.5)
    assert isinstance(terminal.file, io.StringIO)
    written = terminal.file.getvalue()
    assert "…" not in written
    for word in waiting.split():
        assert word in written.replace("\n", "")

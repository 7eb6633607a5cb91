"""The parts of a measurement: counters, caches, batches, forms of weights, the table."""

import doctest
import io
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from sparsebook_compressor import admit
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.feeds import InputSpec, input_specs
from sparsebook_service.bench import child, feeding, machine
from sparsebook_service.bench.energy import Meter
from sparsebook_service.bench.result import (
    Comparison,
    Latency,
    Machine,
    Seconds,
    Side,
    WeightForm,
)
from sparsebook_service.bench.subject import Subject
from sparsebook_service.cli import bench_tables, console
from tests.e2e import models

F32 = np.dtype(np.float32)
FLOATS = WeightForm(form="floats", isa="", weights=2, bytes=98304)


def test_seconds_have_quartiles_even_of_one_call() -> None:
    assert Seconds.of([2.0]) == Seconds(median=2.0, low=2.0, high=2.0, calls=1)
    found = Seconds.of([4.0, 1.0, 2.0, 3.0, 5.0])
    assert found == Seconds(median=3.0, low=2.0, high=4.0, calls=5)


def zone(root: Path, name: str, count: str = "5", limit: str = "99") -> Path:
    folder = root / f"zone-{name}"
    folder.mkdir()
    for file, text in (("name", name), ("energy_uj", count), ("max_energy_range_uj", limit)):
        (folder / file).write_text(text + "\n")
    return folder / "energy_uj"


def test_energy_is_that_of_all_packages_and_counters_go_round(tmp_path: Path) -> None:
    first, second = zone(tmp_path, "package-0"), zone(tmp_path, "package-1", "90")
    zone(tmp_path, "core")
    zone(tmp_path, "package-2", "not a number")
    meter = Meter.find(tmp_path)
    assert meter is not None
    assert meter.counters == (first, second)

    def run() -> None:
        first.write_text("25")
        second.write_text("10")

    assert meter.per_call(run, 0.0) == pytest.approx((20 + 20) / 1e6)


def test_energy_is_unknown_where_there_are_no_counters(tmp_path: Path) -> None:
    assert Meter.find(tmp_path) is None
    assert Meter.find(tmp_path / "nowhere") is None
    zone(tmp_path, "psys")
    assert Meter.find(tmp_path) is None


def test_caches_that_hold_data_are_found_by_level(tmp_path: Path) -> None:
    rows = (
        (1, "Data", "48K"),
        (1, "Instruction", "64K"),
        (2, "Unified", "2048K"),
        (3, "Unified", "30M"),
    )
    for index, facts in enumerate(rows):
        folder = tmp_path / f"index{index}"
        folder.mkdir()
        for file, value in zip(("level", "type", "size"), facts, strict=True):
            (folder / file).write_text(f"{value}\n")
    (tmp_path / "index9").mkdir()
    assert machine.caches(tmp_path) == {1: 48 << 10, 2: 2 << 20, 3: 30 << 20}
    assert machine.caches(tmp_path / "nowhere") == {}
    assert machine.processor()
    assert machine.cores() >= 1


def test_the_resident_memory_of_this_process(tmp_path: Path) -> None:
    assert (child.resident() or 1 << 30) > 1 << 20
    assert child.resident(tmp_path / "nowhere") is None


def test_a_batch_fixes_every_dimension_of_its_name() -> None:
    specs = (
        InputSpec("x", F32, (None, None, 3), ("n", "t", "")),
        InputSpec("state", F32, (2, None, 4), ("", "n", "")),
    )
    assert [spec.dims for spec in feeding.at_batch(specs, 8)] == [(8, None, 3), (2, 8, 4)]


def test_inputs_are_the_same_where_sizes_do_not_contradict() -> None:
    one = (InputSpec("x", F32, (None, 3), ("n", "")),)
    feeding.check_same(one, (InputSpec("x", F32, (1, 3), ("", "")),))
    for other in (
        (InputSpec("x", F32, (None, 4), ("n", "")),),
        (InputSpec("x", np.dtype(np.int64), (None, 3), ("n", "")),),
        (InputSpec("x", F32, (None, 3, 1), ("n", "", "")),),
        (*one, InputSpec("y", F32, (1,), ("",))),
        (),
    ):
        with pytest.raises(BadValue, match="is it the model that the artifact was made from"):
            feeding.check_same(one, other)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from sparsebook_compressor import Config, compress  # noqa: PLC0415

    folder = tmp_path_factory.mktemp("bench")
    (folder / "tiny.onnx").write_bytes(models.small())
    compress(folder / "tiny.onnx", folder / "out", Config.parse({}), verify=False)
    return folder / "out/model.onnx"


def test_weights_that_the_library_has_let_go_of_are_floats(artifact: Path) -> None:
    subject = Subject.read(artifact, "operators")
    assert subject.door == "operators"
    live = [
        {"weight": "w0.payload", "form": "window", "bytes": 700, "isa": "avx2"},
        {"weight": "other", "form": "window", "bytes": 300, "isa": "avx2"},
    ]
    assert subject.weight_forms(live, FLOATS) == (
        WeightForm(form="floats", isa="", weights=1, bytes=4 * 256 * 32),
        WeightForm(form="window", isa="avx2", weights=2, bytes=1000),
    )
    assert subject.weight_forms(None, FLOATS) is None


def test_a_model_without_operators_holds_floats(artifact: Path) -> None:
    subject = Subject.read(artifact.parent.parent / "tiny.onnx", "operators")
    assert subject.door == "none"
    assert subject.weight_forms(None, FLOATS) == (FLOATS,)
    assert [spec.name for spec in input_specs(admit.load(artifact))] == ["x"]


def side(factor: float, joules: float | None) -> Side:
    seconds = Seconds.of([0.002 * factor, 0.001 * factor, 0.003 * factor])
    return Side(
        file="m.onnx",
        bytes=int(1000 * factor),
        load=seconds,
        first=seconds,
        resident_bytes=int(5e6 * factor),
        weight_bytes=int(3e6 * factor),
        weight_forms=(FLOATS,),
        latencies=(Latency(batch=1, seconds=seconds, joules=joules),),
    )


def shown(monkeypatch: pytest.MonkeyPatch, joules: float | None) -> str:
    found = Comparison(
        artifact=side(1, joules),
        model=side(4, joules),
        threads=2,
        door="provider",
        inputs="given",
        machine=Machine(processor="P", cores=2, caches={2: 4 << 20, 3: 8 << 20}),
        versions={"onnxruntime": "1.0"},
        notes=("something",),
    )
    assert Comparison.model_validate_json(found.model_dump_json()) == found
    screen = Console(file=io.StringIO(), width=120)
    monkeypatch.setattr(bench_tables, "out", screen)
    monkeypatch.setattr(console, "out", screen)
    bench_tables.comparison(found)
    file = screen.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_the_table_says_how_many_times_and_which_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    text = shown(monkeypatch, None)
    for expected in ("4.0x smaller", "4.0x faster", "fits L2", "beyond L3", "note: something"):
        assert expected in text
    assert "energy" not in text


def test_energy_is_shown_where_it_was_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "energy, batch 1" in shown(monkeypatch, 0.25)


def test_the_examples_of_the_table_hold() -> None:
    assert doctest.testmod(bench_tables).failed == 0

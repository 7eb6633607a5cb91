"""From file to bundle: what is written, what is reported, and how a plan is kept to."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from sparsebook_compressor import Config, Progress, Report, compress, decompress, inspect
from sparsebook_compressor.errors import BadData
from sparsebook_compressor.pack import REPORTS
from sparsebook_compressor.progress import STAGES
from sparsebook_runtime import library_path
from tests.unit.compressor.models import (
    HIDING,
    K,
    N,
    free,
    graph_of,
    model_of,
    node,
    value,
    values,
)

WITHOUT_TRAINING = [stage for stage in STAGES if stage not in ("retrain", "tune")]


def chain(folder: Path, **constants: np.ndarray) -> Path:
    """x W1 W2 …, the weights in the order of their names."""
    names = sorted(constants)
    ends = ["x", *(f"h{number}" for number in range(len(names) - 1)), "y"]
    nodes = [
        node("MatMul", [ends[number], name], [ends[number + 1]])
        for number, name in enumerate(names)
    ]
    rows = constants[names[0]].shape[0]
    graph = graph_of(nodes, [value("x", ["b", rows])], [free("y", 2)], constants)
    path = folder / "chain.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    return path


def weights_in(artifact: Path) -> dict[str, np.ndarray]:
    """The decoded weights of a dense artifact."""
    model = onnx.load(artifact)
    return {found.name: onnx.numpy_helper.to_array(found) for found in model.graph.initializer}


def run(path: Path, out: Path, **raw: Any) -> Report:
    return compress(path, out, Config.parse({"preset": "paper", **raw}), verify=False)


@pytest.mark.parametrize("density", [0.0, 0.1, 0.5, 1.0])
def test_a_density_is_kept_exactly(density: float, tmp_path: Path) -> None:
    path = chain(tmp_path, w=values(K, 500))
    report = run(path, tmp_path / "out", output="dense", weights={"w": {"density": density}})
    kept = np.count_nonzero(weights_in(tmp_path / "out" / "model.onnx")["w"])
    assert kept == round(density * K * 500)
    assert report.weights[0].density == density


def test_a_threshold_is_kept_exactly(tmp_path: Path) -> None:
    array = values(K, 500)
    path = chain(tmp_path, w=array)
    for scope in ("weight", "global"):
        raw = {"weights": {"w": {"threshold": 0.2}}, "prune": {"scope": scope}}
        run(path, tmp_path / scope, output="dense", **raw)
        found = weights_in(tmp_path / scope / "model.onnx")["w"]
        assert ((found != 0) == (np.abs(array) > 0.2)).all()


def test_global_pruning_ranks_all_weights_together(tmp_path: Path) -> None:
    first, second = values(K, N) * 4, values(N, 900)
    path = chain(tmp_path, w1=first, w2=second)
    weights = {"w1": {"density": 0.5, "bits": 8}, "w2": {"density": 0.1, "bits": 8}}
    report = run(path, tmp_path / "out", output="dense", weights=weights, prune={"scope": "global"})
    found = weights_in(tmp_path / "out" / "model.onnx")
    whole = np.concatenate([first.ravel(), second.ravel()])
    keep = round(0.5 * first.size) + round(0.1 * second.size)
    threshold = np.sort(np.abs(whole))[-keep]
    assert ((found["w1"] != 0) == (np.abs(first) >= threshold)).all()
    assert ((found["w2"] != 0) == (np.abs(second) >= threshold)).all()
    assert sum(round(row.density * row.elements) for row in report.weights) == keep


@pytest.mark.parametrize("density", [0.25, 0.5, 0.75])
def test_ties_of_a_global_rank_go_to_the_weights_that_come_first(
    density: float, tmp_path: Path
) -> None:
    equal = np.full((40, 40), 0.5, np.float32)
    path = chain(tmp_path, w1=equal, w2=equal, w3=equal)
    settings = {"*": {"density": density}}
    run(path, tmp_path / "out", output="dense", weights=settings, prune={"scope": "global"})
    found = weights_in(tmp_path / "out" / "model.onnx")
    kept = [np.count_nonzero(found[name]) for name in ("w1", "w2", "w3")]
    keep = round(density * 4800)
    assert kept == [min(1600, keep), min(1600, max(0, keep - 1600)), max(0, keep - 3200)]


def test_a_threshold_stands_beside_a_global_rank(tmp_path: Path) -> None:
    first, second = values(K, 300), values(300, K)
    path = chain(tmp_path, w1=first, w2=second)
    weights = {"w1": {"threshold": 0.3}, "w2": {"density": 0.2}}
    run(path, tmp_path / "out", output="dense", weights=weights, prune={"scope": "global"})
    found = weights_in(tmp_path / "out" / "model.onnx")
    assert ((found["w1"] != 0) == (np.abs(first) > 0.3)).all()
    assert np.count_nonzero(found["w2"]) == round(0.2 * second.size)


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_no_more_values_than_the_bits_allow(bits: int, tmp_path: Path) -> None:
    path = chain(tmp_path, w=values(K, 500))
    weights = {"w": {"bits": bits, "density": 0.8}}
    report = run(path, tmp_path / "out", output="dense", weights=weights)
    found = np.unique(weights_in(tmp_path / "out" / "model.onnx")["w"])
    assert 0 in found
    assert len(found) == report.weights[0].centroids + 1 <= 2**bits


@pytest.mark.parametrize("output", ["operator", "portable", "dense"])
@pytest.mark.parametrize("scope", ["weight", "global"])
def test_progress_never_falls_and_names_every_weight(
    output: str, scope: str, tmp_path: Path
) -> None:
    path = chain(tmp_path, w1=values(K, 300), w2=values(300, K), w3=values(K, K))
    steps: list[Progress] = []
    raw = {"preset": "paper", "output": output, "prune": {"scope": scope}}
    library = library_path() if output == "operator" else None
    compress(
        path,
        tmp_path / "out",
        Config.parse(raw),
        progress=steps.append,
        operator_library=library,
    )
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[0] == 0
    assert 0.8 <= fractions[-1] <= 1
    assert list(dict.fromkeys(step.weight for step in steps if step.weight)) == ["w1", "w2", "w3"]
    assert {step.stage for step in steps} == set(WITHOUT_TRAINING)
    for step in steps:
        if step.stage in ("admit", "survey", "plan", "verify"):
            assert step.weight is None
    last = [step for step in steps if step.stage == "pack"][-1]
    assert last.weight is None


def test_the_bundle_says_what_it_holds(tmp_path: Path) -> None:
    path = chain(tmp_path, w1=values(K, 3000), w2=values(3000, K))
    other = tmp_path / "libsparsebook.dylib"
    other.write_bytes(b"never run here")
    out = tmp_path / "out"
    raw = {"weights": {"w2": {"skip": True}}, "seed": 5}
    report = compress(
        path,
        out,
        Config.parse(raw),
        operator_library=library_path(),
        platform="linux-x86_64",
        other_libraries={"macos-arm64": other},
    )
    assert Report.from_json((out / "report.json").read_text()) == report
    manifest = json.loads((out / "manifest.json").read_text())
    files = {
        file.relative_to(out).as_posix(): file
        for file in out.rglob("*")
        if file.is_file() and file.name not in ("manifest.json", *REPORTS)
    }
    libraries = {f"lib/linux-x86_64/{library_path().name}", f"lib/macos-arm64/{other.name}"}
    assert set(files) == {"model.onnx", *libraries}
    assert set(manifest["files"]) == set(files)
    for name, file in files.items():
        assert manifest["files"][name] == {
            "bytes": file.stat().st_size,
            "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        }
    assert manifest["input"]["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert Config.parse(manifest["config"]) == Config.parse(raw)
    assert manifest["versions"] == report.versions
    assert {"onnx", "onnxruntime", "numpy", "sparsebook-compressor"} <= set(report.versions)


def test_the_reports_figures_add_up(tmp_path: Path) -> None:
    path = chain(tmp_path, w1=values(K, 3000), w2=values(3000, K), w3=values(K, 4))
    report = run(path, tmp_path / "out", weights={"w2": {"bits": 3, "density": 0.9}})
    artifact = tmp_path / "out" / "model.onnx"
    assert report.input.bytes == path.stat().st_size
    assert report.artifact.bytes == artifact.stat().st_size
    assert report.ratio == report.input.bytes / report.artifact.bytes
    parts = report.bytes
    total = parts.codes + parts.gaps + parts.codebooks + parts.tables + parts.rest
    assert total == report.artifact.bytes
    assert 0 < parts.rest < 4000
    payloads = {
        found.name.removesuffix(".payload"): len(found.raw_data)
        for found in onnx.load(artifact).graph.initializer
    }
    for row in report.weights:
        assert row.bytes_after == payloads[row.name]
        assert row.bytes_before == row.elements * 4 == 12 * 3000 * 8
        assert row.rate_huffman == row.bytes_after / row.bytes_before
        assert row.rate_huffman < row.rate_shared < 1
        assert 0 < row.code_bits_huffman <= row.code_bits
        assert 0 < row.relative_error < 1
    first, second = report.weights
    assert (first.density, first.code_bits, first.layout) == (0.09, 5, "gaps")
    assert 0 < first.gap_bits_huffman <= first.gap_bits
    assert (second.layout, second.gap_bits, second.gap_bits_huffman) == ("dense", 0, 0)
    assert first.relative_error > second.relative_error
    assert [(row.name, row.reason.split(":")[0]) for row in report.kept] == [("w3", "tiny")]


def test_relative_errors_are_those_of_the_dense_artifact(tmp_path: Path) -> None:
    array = values(K, 3000)
    report = run(chain(tmp_path, w=array), tmp_path / "out", output="dense")
    found = weights_in(tmp_path / "out" / "model.onnx")["w"]
    expected = np.linalg.norm(array - found) / np.linalg.norm(array)
    np.testing.assert_allclose(report.weights[0].relative_error, expected, rtol=1e-5)


def test_fidelity_is_measured_on_made_up_and_on_given_samples(tmp_path: Path) -> None:
    path = chain(tmp_path, w=values(K, 3000))
    data = tmp_path / "data.npz"
    np.savez(data, x=np.random.default_rng(0).standard_normal((30, K)).astype(np.float32))
    for source, samples in ((None, 8), (data, 3)):
        report = compress(
            path,
            tmp_path / f"out{samples}",
            data=source,
            operator_library=library_path(),
        )
        assert report.fidelity.inputs == ("synthetic" if source is None else "given")
        assert (report.fidelity.samples, report.fidelity.skipped) == (samples, None)
        (output,) = report.fidelity.outputs
        assert output.name == "y"
        assert 0 < output.relative_error < 0.05
        assert output.cosine > 0.999
        assert output.agreement is not None
        assert any("synthetic" in note for note in report.notes) == (source is None)


def test_what_is_not_verified_says_why(tmp_path: Path) -> None:
    path = chain(tmp_path, w=values(K, 300))
    off = compress(path, tmp_path / "off", operator_library=library_path(), verify=False)
    assert off.fidelity.skipped == "verify was switched off"
    without = compress(path, tmp_path / "without")
    assert without.fidelity.skipped == "no operator library was given to run the artifact with"
    for report in (off, without):
        assert (report.fidelity.outputs, report.fidelity.latency) == ((), None)


def test_several_files_are_compared_on_as_one(tmp_path: Path) -> None:
    """More than one file, and more samples than are run: none is overlooked where nothing trains."""
    path = chain(tmp_path, w=values(K, 3000))
    files = [tmp_path / "plain.npz", tmp_path / "first.npz", tmp_path / "second.npz"]
    rng = np.random.default_rng(0)
    np.savez(files[0], x=rng.standard_normal((30, K)).astype(np.float32))
    np.savez(files[1], test_x=rng.standard_normal((4, K)).astype(np.float32))
    np.savez(files[2], test_x=rng.standard_normal((5, K)).astype(np.float32))
    config = Config.parse({"output": "dense", "train": {"loss": "none"}})
    assert compress(path, tmp_path / "out", config, data=files).fidelity.samples == 9
    assert compress(path, tmp_path / "one", config, data=files[1:2]).fidelity.samples == 4
    np.savez(files[2], test_x=rng.standard_normal((300, K)).astype(np.float32))
    assert compress(path, tmp_path / "most", config, data=files).fidelity.samples == 256
    np.savez(files[2], test_x=np.full((5, K), np.nan, np.float32))
    with pytest.raises(BadData, match=r"second\.npz: array 'test_x' holds NaN"):
        compress(path, tmp_path / "bad", config, data=files)
    assert not (tmp_path / "bad").exists()


def test_stages_have_times_and_memory(tmp_path: Path) -> None:
    report = run(chain(tmp_path, w=values(K, 300)), tmp_path / "out")
    assert [cost.stage for cost in report.stages] == WITHOUT_TRAINING
    assert all(cost.seconds >= 0 and cost.peak_bytes > 1 << 20 for cost in report.stages)


def test_the_safe_preset_stays_close(tmp_path: Path) -> None:
    path = chain(tmp_path, w1=values(64, 500), w2=values(500, 64))
    for output in ("portable", "dense"):
        report = compress(path, tmp_path / output, Config.parse({"output": output}))
        assert report.fidelity.outputs[0].relative_error < 0.06
        assert all(row.relative_error < 0.04 for row in report.weights)


def test_a_data_file_takes_the_payloads_that_protobuf_cannot_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As beyond 1.9 GB, at a smaller limit."""
    path = chain(tmp_path, w1=values(K, 3000), w2=values(3000, K), w3=values(K, 4))
    run(path, tmp_path / "whole")
    monkeypatch.setattr("sparsebook_compressor.pack.MOST_INLINE", 10_000)
    report = run(path, tmp_path / "parts")
    parts = tmp_path / "parts"
    assert {file.name for file in parts.iterdir()} == {
        "model.onnx",
        "model.onnx.data",
        "manifest.json",
        *REPORTS,
    }
    sizes = [(parts / name).stat().st_size for name in ("model.onnx", "model.onnx.data")]
    assert report.artifact.bytes == sum(sizes)
    assert sizes[0] < 3000
    assert set(json.loads((parts / "manifest.json").read_text())["files"]) == {
        "model.onnx",
        "model.onnx.data",
    }
    whole, split = (inspect(tmp_path / name / "model.onnx") for name in ("whole", "parts"))
    assert [row.name for row in split.rows] == ["w1", "w2"]
    assert split.rows == whole.rows
    monkeypatch.undo()
    first, second = tmp_path / "first.onnx", tmp_path / "second.onnx"
    decompress(tmp_path / "whole" / "model.onnx", first)
    decompress(parts / "model.onnx", second)
    assert first.read_bytes() == second.read_bytes()


def test_a_decompressed_model_can_have_a_data_file_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(chain(tmp_path, w1=values(K, 3000)), tmp_path / "out")
    monkeypatch.setattr("sparsebook_compressor.pack.MOST_INLINE", 10_000)
    facts = decompress(tmp_path / "out" / "model.onnx", tmp_path / "plain" / "m.onnx")
    files = {file.name: file.stat().st_size for file in (tmp_path / "plain").iterdir()}
    assert set(files) == {"m.onnx", "m.onnx.data"}
    assert facts.bytes == sum(files.values())
    assert onnx.load(tmp_path / "plain" / "m.onnx").graph.initializer[0].raw_data


@pytest.mark.parametrize("output", ["operator", "portable", "dense"])
def test_external_data_comes_into_the_artifact(output: str, tmp_path: Path) -> None:
    hiding = next(row for row in HIDING if row.name == "external data that stays beside")
    source = tmp_path / "source"
    source.mkdir()
    path = hiding.write(source)
    report = run(path, tmp_path / output, output=output, weights={"*": {"density": 0.3, "bits": 4}})
    assert report.input.bytes == sum(file.stat().st_size for file in source.iterdir())
    artifact = onnx.load(tmp_path / output / "model.onnx", load_external_data=False)
    for found in artifact.graph.initializer:
        assert found.data_location == onnx.TensorProto.DEFAULT


def test_an_artifact_that_is_no_smaller_says_so(tmp_path: Path) -> None:
    report = run(chain(tmp_path, w=values(K, 300)), tmp_path / "out", output="dense")
    assert report.artifact.bytes >= report.input.bytes
    assert any("not smaller" in note for note in report.notes)
    report = run(chain(tmp_path, w=values(K, 300)), tmp_path / "smaller")
    assert report.ratio > 5
    assert not any("not smaller" in note for note in report.notes)

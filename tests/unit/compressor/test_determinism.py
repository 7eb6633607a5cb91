"""The same input, config and seed give the same bytes: again, and on any number of threads."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sparsebook_compressor import Config, compress
from tests.unit.compressor.models import free, graph_of, model_of, node, value

CONFIGS: dict[str, dict[str, Any]] = {
    "safe": {},
    "paper": {"preset": "paper"},
    "random": {"preset": "paper", "share": {"init": "random"}, "seed": 3},
    "global": {"preset": "paper", "prune": {"scope": "global"}},
    "portable": {"output": "portable"},
    "dense": {"output": "dense", "preset": "paper"},
    "small": {"preset": "small", "calibrate": {"samples": 16}, "budget": {"max_drop": 0.05}},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two products that are large enough for BLAS and NumPy to use threads if they want to."""
    rng = np.random.default_rng(0)
    weights = {
        "w1": rng.standard_t(4, (500, 700)).astype(np.float32),
        "w2": rng.standard_t(4, (700, 90)).astype(np.float32),
    }
    nodes = [node("MatMul", ["x", "w1"], ["h"]), node("MatMul", ["h", "w2"], ["y"])]
    graph = graph_of(nodes, [value("x", ["b", 500])], [free("y", 2)], weights)
    path = tmp_path_factory.mktemp("model") / "model.onnx"
    path.write_bytes(model_of(graph).SerializeToString())
    return path


def artifact(model: Path, out: Path, raw: dict[str, Any]) -> bytes:
    compress(model, out, Config.parse(raw), verify=False)
    return (out / "model.onnx").read_bytes()


@pytest.mark.parametrize("name", CONFIGS)
def test_a_second_run_gives_the_same_bytes(name: str, model: Path, tmp_path: Path) -> None:
    first = artifact(model, tmp_path / "first", CONFIGS[name])
    assert artifact(model, tmp_path / "second", CONFIGS[name]) == first


def test_the_seed_matters_to_the_random_start_alone(model: Path, tmp_path: Path) -> None:
    def of(seed: int, **raw: Any) -> bytes:
        out = tmp_path / f"{seed}{len(raw)}"
        return artifact(model, out, {"preset": "paper", "seed": seed, **raw})

    assert of(1) == of(2)
    once = {"share": {"init": "random", "iterations": 1}}
    assert of(1, **once) != of(2, **once)


def test_the_name_and_place_of_the_file_do_not_matter(model: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "another-name.onnx"
    elsewhere.write_bytes(model.read_bytes())
    raw = {"preset": "paper"}
    assert artifact(elsewhere, tmp_path / "a", raw) == artifact(model, tmp_path / "b", raw)


@pytest.mark.parametrize("name", ["safe", "random"])
def test_the_number_of_threads_does_not_matter(name: str, model: Path, tmp_path: Path) -> None:
    expected = artifact(model, tmp_path / "here", CONFIGS[name])
    program = (
        "import os, sys; from pathlib import Path; from sparsebook_compressor import Config, compress;"
        "cores = sorted(os.sched_getaffinity(0))[: int(sys.argv[4])]; os.sched_setaffinity(0, cores);"
        "compress(Path(sys.argv[1]), Path(sys.argv[2]), Config.parse_json(sys.argv[3]), verify=False)"
    )
    for threads in ("1", "2"):
        out = tmp_path / threads
        config = Config.parse(CONFIGS[name]).model_dump_json(exclude_unset=True)
        numbers = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(numbers, threads)}
        # Another hash seed as well: no order may come from a set of names.
        environment["PYTHONHASHSEED"] = threads
        command = [sys.executable, "-c", program, str(model), str(out), config, threads]
        subprocess.run(command, check=True, env=environment)
        assert (out / "model.onnx").read_bytes() == expected

"""The programs of examples/ run artifacts as Python does."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sparsebook_compressor import compress
from sparsebook_compressor.config import Config
from sparsebook_runtime import InferenceSession, library_path
from tests.languages.conftest import ROOT

EXAMPLES = ROOT / "examples"
LENET = ROOT / "benchmarks/baselines/lenet-5.onnx"  # Conv and Gemm, really trained
STRICT = ["-O2", "-Wall", "-Wextra", "-Werror"]
X = np.random.default_rng(5).random((1, 1, 28, 28), np.float32)

Run = Callable[..., np.ndarray]


def artifact(folder: Path, output: str) -> Path:
    config = Config.parse({"output": output})
    compress(LENET, folder / output, config, operator_library=library_path(), verify=False)
    return folder / output / "model.onnx"


@pytest.fixture(scope="session")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact(tmp_path_factory.mktemp("artifact"), "operator")


@pytest.fixture(scope="session")
def portable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return artifact(tmp_path_factory.mktemp("artifact"), "portable")


def expected(model: Path) -> np.ndarray:
    session = InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: X})[0].ravel()


def ran(*command: object, **environment: str) -> np.ndarray:
    done = subprocess.run(
        [str(part) for part in command],
        check=False,
        input=X.tobytes(),
        capture_output=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    return np.frombuffer(done.stdout, np.float32)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory, brought: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("programs")
    libraries = brought / "node_modules/onnxruntime-node/bin/napi-v6/linux/x64"
    link = ["-isystem", brought / "include", "-L", libraries, "-l:libonnxruntime.so.1"]
    rpath = f"-Wl,-rpath,{libraries}"
    programs = {
        "c": ["cc", "-std=c11", EXAMPLES / "c/run.c"],
        "cpp": ["c++", "-std=c++17", EXAMPLES / "cpp/run.cc"],
    }
    for language, command in programs.items():
        given = [*command, *STRICT, *link, rpath, "-o", folder / language]
        subprocess.run([str(part) for part in given], check=True)
    return {language: folder / language for language in programs}


@pytest.mark.parametrize(
    "program", [["c"], ["cpp"], ["cpp", "provider"]], ids=["c", "cpp", "cpp-provider"]
)
def test_c_and_cpp_run_operators(
    built: dict[str, Path], operator: Path, program: list[str]
) -> None:
    language, *more = program
    y = ran(built[language], operator, library_path(), *more)
    np.testing.assert_allclose(y, expected(operator), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("language", ["c", "cpp"])
def test_without_the_library_the_operators_are_missing(
    built: dict[str, Path], operator: Path, language: str
) -> None:
    done = subprocess.run(
        [str(built[language]), str(operator), "/no/libsparsebook.so"],
        check=False,
        capture_output=True,
    )
    assert done.returncode == 1
    assert b"libsparsebook.so" in done.stderr


def test_node_runs_portable(brought: Path, portable: Path) -> None:
    y = ran(
        Path(sys.executable).with_name("node"),
        EXAMPLES / "node/run.js",
        portable,
        NODE_PATH=str(brought / "node_modules"),
    )
    np.testing.assert_allclose(y, expected(portable), rtol=1e-5, atol=1e-5)


def test_node_has_no_way_to_register_operators(brought: Path) -> None:
    """Where this fails, it has learnt to: docs/languages.md and the example have to follow."""
    for folder in ("onnxruntime-node/dist", "onnxruntime-common/dist/cjs"):
        for file in (brought / "node_modules" / folder).rglob("*.ts"):
            assert "customop" not in file.read_text().lower()

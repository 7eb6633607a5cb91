"""The programs of examples/ that need a service, or Python alone, run (tests/languages has the others)."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from sparsebook_runtime import InferenceSession
from tests.docs.blocks import ROOT
from tests.e2e import models
from tests.e2e.servers import Server

EXAMPLES = ROOT / "examples"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate(("model.onnx", "other.onnx")):
        (tmp_path / name).write_bytes(models.small(seed))
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    return tmp_path


def ran(folder: Path, *command: object, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        input=given,
        check=False,
        capture_output=True,
        timeout=300,
    )


def test_curl_compresses(folder: Path, server: Server) -> None:
    command = (EXAMPLES / "http/compress.sh", server.url, "model.onnx", "bundle.zip")
    done = ran(folder, *command, '{"preset": "paper", "output": "portable"}')
    assert done.returncode == 0, done.stderr
    report = json.loads(zipfile.ZipFile(folder / "bundle.zip").read("report.json"))
    assert report["config"]["preset"] == "paper"


def test_curl_says_what_is_wrong(folder: Path, server: Server) -> None:
    done = ran(folder, EXAMPLES / "http/compress.sh", server.url, "broken.onnx", "bundle.zip")
    assert done.returncode == 3
    assert b"not-onnx" in done.stderr
    assert not (folder / "bundle.zip").exists()


def test_python_compresses_and_runs(folder: Path, server: Server) -> None:
    command = (sys.executable, EXAMPLES / "python/compress.py", server.url, "model.onnx", "bundle")
    done = ran(folder, *command)
    assert done.returncode == 0, done.stderr
    assert b"times smaller" in done.stdout
    artifact = folder / "bundle/model.onnx"
    x = models.samples(1)["x"]
    ended = ran(folder, sys.executable, EXAMPLES / "python/run.py", artifact, given=x.tobytes())
    assert ended.returncode == 0, ended.stderr
    expected = InferenceSession(artifact).run(None, {"x": x})[0]
    np.testing.assert_array_equal(np.frombuffer(ended.stdout, np.float32), expected.ravel())


def test_python_compresses_many(folder: Path, server: Server) -> None:
    command = (sys.executable, EXAMPLES / "python/compress_many.py", server.url)
    done = ran(folder, *command, "model.onnx", "other.onnx")
    assert done.returncode == 0, done.stderr
    for name in ("model", "other"):
        assert (folder / f"{name}-sparsebook/model.onnx").is_file()


def test_python_says_what_is_wrong(folder: Path, server: Server) -> None:
    command = (sys.executable, EXAMPLES / "python/compress.py", server.url, "broken.onnx", "bundle")
    done = ran(folder, *command)
    assert done.returncode != 0
    assert not (folder / "bundle").exists()

"""The small Python package around the library."""

import subprocess
import sys
from pathlib import Path

import onnxruntime
import pytest

import sparsebook_runtime
from tests.unit.runtime.models import graph, node, normal, weight


def test_library_path_is_absolute_and_there():
    path = sparsebook_runtime.library_path()
    assert path.is_absolute()
    assert path.is_file()


def test_a_missing_library_says_what_to_do(monkeypatch, tmp_path):
    monkeypatch.setattr(sparsebook_runtime, "__file__", str(tmp_path / "__init__.py"))
    with pytest.raises(FileNotFoundError, match=r"is missing.*was not built for.*install it"):
        sparsebook_runtime.library_path()


@pytest.mark.parametrize(
    ("system", "machine", "tag"),
    [
        ("linux", "x86_64", "linux-x86_64"),
        ("linux", "aarch64", "linux-aarch64"),
        ("darwin", "arm64", "macos-arm64"),
        ("darwin", "x86_64", "macos-x86_64"),
        ("win32", "AMD64", "windows-x86_64"),
        ("freebsd14", "riscv64", "freebsd14-riscv64"),
    ],
)
def test_platform_tag(monkeypatch, system, machine, tag):
    monkeypatch.setattr("sys.platform", system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert sparsebook_runtime.platform_tag() == tag


def test_session_from_a_file_and_from_bytes(tmp_path: Path):
    payload, _ = weight((6, 5))
    x = normal(2, 6)
    model = graph([node("MatMul", ["x", "w"])], {"x": x}, {"w": payload}).SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    providers = ["CPUExecutionProvider"]
    results = [
        sparsebook_runtime.InferenceSession(source, providers=providers)
        .run(None, {"x": x})[0]
        .tolist()
        for source in (model, path, str(path))
    ]
    assert results[0] == results[1] == results[2]


def test_given_options_are_kept():
    payload, _ = weight((6, 5))
    model = graph([node("MatMul", ["x", "w"])], {"x": normal(2, 6)}, {"w": payload})
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    made = sparsebook_runtime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    assert made.get_session_options().intra_op_num_threads == 1
    with pytest.warns(UserWarning, match="NoSuchExecutionProvider"):  # who says so is ONNX Runtime
        sparsebook_runtime.InferenceSession(
            model.SerializeToString(), providers=["NoSuchExecutionProvider"]
        )


def test_onnxruntime_is_imported_only_when_a_session_is_made():
    program = (
        "import sys, sparsebook_runtime\n"
        "sparsebook_runtime.library_path()\n"
        "assert 'onnxruntime' not in sys.modules\n"
        "sys.modules['onnxruntime'] = None\n"
        "try:\n"
        "    sparsebook_runtime.InferenceSession(b'')\n"
        "except ImportError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert "pip install onnxruntime" in done.stdout

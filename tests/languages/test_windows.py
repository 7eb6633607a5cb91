"""The library for windows-x86_64, in an ONNX Runtime for Windows, under Wine: `make platforms-test`."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.languages.conftest import ROOT, zig
from tests.languages.test_examples import EXAMPLES, expected, operator, ran

__all__ = ["operator"]

LIBRARY = ROOT / "build/platforms/windows-x86_64/sparsebook.dll"
WINE = shutil.which("wine64", path="/usr/bin:/usr/lib/wine")
DEFINITION = "LIBRARY onnxruntime.dll\nEXPORTS\nOrtGetApiBase\n"

pytestmark = pytest.mark.skipif(
    WINE is None or not LIBRARY.exists(), reason="make platforms-test runs it"
)


def windows(path: Path) -> str:
    """A path as programs under Wine know it."""
    return "Z:" + str(path).replace("/", "\\")


def test_an_artifact_runs(tmp_path: Path, brought: Path, operator: Path) -> None:
    for dll in (brought / "node_modules/onnxruntime-node/bin/napi-v6/win32/x64").glob("*.dll"):
        (tmp_path / dll.name).symlink_to(dll)
    definition, link = tmp_path / "onnxruntime.def", tmp_path / "onnxruntime.lib"
    definition.write_text(DEFINITION)
    zig("dlltool", "-m", "i386:x86-64", "-d", definition, "-l", link)
    target = ["-target", "x86_64-windows-gnu", "-municode", "-O3", "-s"]
    include, program = ["-isystem", brought / "include"], tmp_path / "run.exe"
    zig("cc", *target, *include, EXAMPLES / "c/run.c", link, "-o", program)
    y = ran(WINE, program, windows(operator), windows(LIBRARY))
    np.testing.assert_allclose(y, expected(operator), rtol=1e-5, atol=1e-5)

"""The library for linux-aarch64, in an ONNX Runtime for aarch64, on an emulated processor: `make platforms-test`."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.languages.conftest import ROOT, zig
from tests.languages.test_examples import EXAMPLES, expected, operator, ran

__all__ = ["operator"]

SYSROOT = Path("/usr/aarch64-linux-gnu")
LIBRARY = ROOT / "build/platforms/linux-aarch64/libsparsebook.so"
# 1.24 of PyPI. That of onnxruntime-node 1.30 crashes in qemu 7.2 as soon as it is loaded, where it looks for the caches.
RUNTIME = ROOT / "build/aarch64/onnxruntime/capi"
QEMU = shutil.which("qemu-aarch64") or shutil.which("qemu-aarch64-static")
NEEDED = (SYSROOT, LIBRARY, RUNTIME)

pytestmark = pytest.mark.skipif(
    QEMU is None or not all(path.exists() for path in NEEDED), reason="make platforms-test"
)


def test_an_artifact_runs(tmp_path: Path, brought: Path, operator: Path) -> None:
    program, runtime = tmp_path / "run", tmp_path / "libonnxruntime.so.1"
    (library,) = RUNTIME.glob("libonnxruntime.so.*")
    runtime.symlink_to(library)
    # The oldest glibc that this ONNX Runtime runs with.
    target = ["-target", "aarch64-linux-gnu.2.28", "-O3", "-s"]
    include = ["-isystem", brought / "include"]
    zig("cc", *target, *include, EXAMPLES / "c/run.c", runtime, "-o", program)
    emulated = [QEMU, "-L", SYSROOT, "-E", f"LD_LIBRARY_PATH={tmp_path}", program]
    y = ran(*emulated, operator, LIBRARY)
    np.testing.assert_allclose(y, expected(operator), rtol=1e-5, atol=1e-5)

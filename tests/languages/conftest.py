"""What other languages need to run an artifact. `make languages-test` and `make platforms-test` bring it."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BROUGHT = ROOT / ".languages"
ZIG = ROOT / ".venv-platforms/bin/zig"
ZIG_CACHE = str(ROOT / "build/zig")  # what `make platforms` has compiled of C's and C++'s libraries


def zig(*arguments: object) -> None:
    cache = {"ZIG_GLOBAL_CACHE_DIR": ZIG_CACHE, "ZIG_LOCAL_CACHE_DIR": ZIG_CACHE}
    command = [str(ZIG), *map(str, arguments)]
    subprocess.run(command, check=True, env={**os.environ, **cache})


@pytest.fixture(scope="session")
def brought() -> Path:
    """include/ with ONNX Runtime's headers, node_modules/ with its binding for Node, whose libraries C links too."""
    if not (BROUGHT / ".stamp").exists():
        pytest.skip("make languages-test brings what this needs")
    return BROUGHT

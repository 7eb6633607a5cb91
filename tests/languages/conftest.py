"""What other languages need to run an artifact. `make languages-test` and `make platforms-test` bring it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BROUGHT = ROOT / ".languages"


@pytest.fixture(scope="session")
def brought() -> Path:
    """include/ with ONNX Runtime's headers, node_modules/ with its binding for Node, whose libraries C links too."""
    if not (BROUGHT / ".stamp").exists():
        pytest.skip("make languages-test brings what this needs")
    return BROUGHT

"""What tests here have in common: property tests without a deadline, and a place for a bundle that never comes."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# A shared machine is slow now and then, and no test looks at the clock.
settings.register_profile("compressor", deadline=None)
settings.load_profile("compressor")

# Programs for the worker's environment, which tests start there.
collect_ignore = ["trainable/differentiate.py", "training/gradients.py"]


@pytest.fixture
def out(tmp_path: Path) -> Iterator[Path]:
    """Where a bundle would go; a test that uses it expects that nothing is there, nor beside it, in the end."""
    folder = tmp_path / "bundles"
    folder.mkdir()
    yield folder / "bundle"
    assert list(folder.iterdir()) == []

from pathlib import Path

import pytest

from tests.docs.standing import given
from tests.e2e.conftest import make_lasting_server, server

__all__ = ["make_lasting_server", "server"]


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pages take for granted."""
    folder = tmp_path_factory.mktemp("given")
    given(folder)
    return folder

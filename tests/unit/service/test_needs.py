"""What memory a job is taken to need."""

import pytest

from sparsebook_service.jobs.needs import BASE_BYTES, memory_bytes

GIB = 1 << 30


def upload(model: int, *, external: int = 0, data: int = 0) -> dict[str, object]:
    parts = [{"bytes": external}] if external else []
    samples = [{"bytes": data}] if data else []
    return {"model": {"bytes": model}, "external": parts, "data": samples}


@pytest.mark.parametrize(
    ("given", "needs"),
    [
        (upload(1000), BASE_BYTES + 5000),
        (upload(GIB), BASE_BYTES + 5 * GIB),
        (upload(1000, external=9 * GIB - 1000), BASE_BYTES + 6 * GIB),
        (upload(2 * GIB, data=100), BASE_BYTES + 10 * GIB + 300),
    ],
)
def test_models_beyond_a_gibibyte_are_not_held_whole_unless_trained(
    given: dict[str, object], needs: int
) -> None:
    assert memory_bytes(given, 1 << 50) == needs
    assert memory_bytes(given, 4000) == 4000

"""Few lanes are pushed symbol by symbol, many side by side: the words are the same."""

import numpy as np
import pytest

from sparsebook_compressor.codecs import rans


@pytest.mark.parametrize("lanes", [1, 4, 12])
def test_lanes_alone_and_side_by_side_give_the_same_words(
    lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(lanes)
    frequency = rng.integers(1, 4097, (300, lanes)).astype(np.uint16)
    frequency[rng.random(frequency.shape) < 0.2] = 4096
    start = (rng.random(frequency.shape) * (4097 - frequency.astype(np.int64))).astype(np.uint16)
    found = []
    for few in (0, lanes):
        monkeypatch.setattr(rans, "_FEW_LANES", few)
        states = np.full(lanes, rans.LOWEST, np.uint32)
        words, written = rans.push(states, frequency, start)
        found.append((states.tolist(), words[written].tolist(), written.tolist()))
    assert found[0] == found[1]
    assert any(found[0][1])

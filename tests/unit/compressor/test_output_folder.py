"""A bundle's folder appears whole or not at all: a taken one is left alone, and a failure leaves nothing."""

import resource
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from sparsebook_compressor import compress
from sparsebook_compressor.errors import (
    BadValue,
)
from tests.unit.compressor.models import (
    K,
    one_matmul,
    values,
)
from tests.unit.compressor.refusals import MATMUL, PAPER, graph_with, saved


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_folder_that_is_taken_is_left_as_it_is(kind: str, tmp_path: Path) -> None:
    path = saved(one_matmul(), tmp_path)
    out = tmp_path / "bundle"
    if kind == "file":
        out.write_text("mine")
    else:
        out.mkdir()
        (out / "mine").write_text("mine")
    with pytest.raises(BadValue, match="not empty"):
        compress(path, out, PAPER)
    assert (out if kind == "file" else out / "mine").read_text() == "mine"
    assert {file.name for file in tmp_path.iterdir()} == {"model.onnx", "bundle"}


def test_an_empty_folder_is_filled_and_parents_are_made(tmp_path: Path) -> None:
    path = saved(one_matmul(), tmp_path)
    (tmp_path / "empty").mkdir()
    compress(path, tmp_path / "empty", PAPER, verify=False)
    assert (tmp_path / "empty" / "model.onnx").exists()
    compress(path, tmp_path / "a" / "b" / "c", PAPER, verify=False)
    assert (tmp_path / "a" / "b" / "c" / "report.json").exists()


def test_the_current_folder_can_be_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saved(one_matmul(), tmp_path)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    compress(path, Path(), PAPER, verify=False)
    assert (tmp_path / "here" / "model.onnx").exists()


@pytest.mark.parametrize("output", ["operator", "portable", "dense"])
@pytest.mark.parametrize("limit", [100, 1000, 4000])
def test_a_full_disk_leaves_nothing(output: str, limit: int, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: the system refuses the write in the same way."""
    graph = graph_with(MATMUL, w=values(K, 2000))
    path = saved(graph, tmp_path)
    program = f"""
        import resource, sys
        from pathlib import Path
        from sparsebook_compressor import Config, compress
        from sparsebook_compressor.errors import StorageFull
        resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
        try:
            compress(Path(sys.argv[1]), Path(sys.argv[2]), Config.parse({{"output": {output!r}}}), verify=False)
        except StorageFull as error:
            sys.exit(str(error))
    """
    out = tmp_path / "bundles" / "bundle"
    command = [sys.executable, "-c", textwrap.dedent(program), str(path), str(out)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 1, child.stderr
    assert "bundle" in child.stderr
    assert "free some space" in child.stderr
    assert list(out.parent.iterdir()) == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_full_disk_leaves_nothing_of_a_decompressed_model(tmp_path: Path) -> None:
    path = saved(graph_with(MATMUL, w=values(K, 2000)), tmp_path)
    compress(path, tmp_path / "bundle", PAPER, verify=False)
    program = """
        import resource, sys
        from pathlib import Path
        from sparsebook_compressor import decompress
        from sparsebook_compressor.errors import StorageFull
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        try:
            decompress(Path(sys.argv[1]), Path(sys.argv[2]))
        except StorageFull as error:
            sys.exit(str(error))
    """
    plain = tmp_path / "plain" / "model.onnx"
    artifact = tmp_path / "bundle" / "model.onnx"
    command = [sys.executable, "-c", textwrap.dedent(program), str(artifact), str(plain)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    assert child.returncode == 1, child.stderr
    assert "free some space" in child.stderr
    assert list(plain.parent.iterdir()) == []


def test_a_failure_at_any_stage_leaves_nothing(tmp_path: Path, out: Path) -> None:
    class Stop(Exception):
        pass

    path = saved(one_matmul(), tmp_path)
    steps: list[Any] = []
    compress(path, tmp_path / "whole", PAPER, progress=steps.append, verify=False)
    for stage in dict.fromkeys(step.stage for step in steps):

        def stop(step: Any, stage: str = stage) -> None:
            if step.stage == stage:
                raise Stop

        with pytest.raises(Stop):
            compress(path, out, PAPER, progress=stop, verify=False)
        assert not out.exists()

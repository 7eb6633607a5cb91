"""Folders appear whole or not at all, and what a model refers to is measured without leaving its folder."""

import contextlib
import stat
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, TensorProto

from sparsebook_compressor import inspect, pack
from sparsebook_compressor.errors import BadValue, ExternalDataMissing, ExternalDataOutside
from tests.unit.compressor.models import free, graph_of, model_of, node, values


def model_with(location: str) -> ModelProto:
    """A model whose tensor `b`, which is no weight, lies in another file."""
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("Add", ["h", "b"], ["y"])]
    model = model_of(graph_of(nodes, [free("x", 2)], [free("y", 2)], {"w": values(64, 32)}))
    bias = TensorProto(name="b", data_type=TensorProto.FLOAT, dims=[32])
    bias.data_location = TensorProto.EXTERNAL
    for key, entry in (("location", location), ("length", "128")):
        bias.external_data.add(key=key, value=entry)
    model.graph.initializer.append(bias)
    return model


def saved(model: ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ("x" * 5000, ExternalDataMissing),
        ("gone.bin", ExternalDataMissing),
        ("/etc/passwd", ExternalDataOutside),
        ("../b.bin", ExternalDataOutside),
        ("link.bin", ExternalDataOutside),
    ],
)
def test_files_elsewhere_are_not_measured(location: str, kind: type, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "b.bin").write_bytes(bytes(128))
    (folder / "link.bin").symlink_to(tmp_path / "b.bin")
    with pytest.raises(kind, match="'b'"):
        inspect(saved(model_with(location), folder))


def test_a_file_that_several_tensors_share_counts_once(tmp_path: Path) -> None:
    model = model_with("b.bin")
    second = model.graph.initializer.add()
    second.CopyFrom(model.graph.initializer[-2])
    second.name = "c"
    model.graph.node.append(node("Neg", ["c"], ["d"]))
    (tmp_path / "b.bin").write_bytes(bytes(1000))
    path = saved(model, tmp_path)
    assert inspect(path).file.bytes == path.stat().st_size + 1000


def test_the_size_of_external_data_is_known_without_reading_it(tmp_path: Path) -> None:
    """Which is why the size alone decides where the tensors go, whatever the data file holds."""
    tensor = model_with("b.bin").graph.initializer[-1]
    (tmp_path / "b.bin").write_bytes(b"")
    assert pack._size(tensor, tmp_path / "model.onnx") == 128
    del tensor.external_data[1]
    assert pack._size(tensor, tmp_path / "model.onnx") == 4 * 32


def test_a_bundle_is_for_everyone_to_read(tmp_path: Path) -> None:
    with pack.fresh_folder(tmp_path / "bundle") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "file").write_text("x")
    assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == 0o755


def test_two_runs_may_fill_the_same_folder(tmp_path: Path) -> None:
    with pack.fresh_folder(tmp_path / "bundle") as first:
        (first / "file").write_text("first")
        with (
            contextlib.suppress(InterruptedError),
            pack.fresh_folder(tmp_path / "bundle") as second,
        ):
            assert second != first
            raise InterruptedError
        assert (first / "file").exists()
    assert (tmp_path / "bundle" / "file").read_text() == "first"


def test_the_folder_that_is_filled_meanwhile_is_kept(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(pack.fresh_folder(out))
        (folder / "file").write_text("ours")
        out.mkdir()
        (out / "theirs").write_text("theirs")
        with pytest.raises(BadValue, match="bundle"):
            stack.close()
    assert {path.name for path in tmp_path.rglob("*")} == {"bundle", "theirs"}


def test_the_current_folder_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pack.fresh_folder(Path()) as folder:
        (folder / "file").write_text("x")
    assert (tmp_path / "here" / "file").exists()


@pytest.mark.parametrize("place", ["/proc/x", "/dev/null/x", "file/x", "file/deep/x", "n" * 300])
def test_where_no_folder_can_be_is_said(place: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(BadValue, match=r"cannot be written: .*choose"),
        pack.fresh_folder(tmp_path / place),
    ):
        raise AssertionError("nothing can be filled")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_errors_of_the_work_itself_keep_their_class(tmp_path: Path) -> None:
    """Only what the system has against the folder is the caller's bad value."""
    with pytest.raises(FileNotFoundError), pack.fresh_folder(tmp_path / "bundle"):
        np.load(tmp_path / "gone.npy")
    assert list(tmp_path.iterdir()) == []

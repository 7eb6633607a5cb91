"""A release, and the next one as an update: by the command, through the service, and applied where only the first one is."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from sparsebook_service.client import Client, ServiceProblem
from tests.e2e import models
from tests.e2e.commands import Cli
from tests.e2e.servers import Server


def retrained(path: Path, step: float) -> Path:
    """A model whose floats have all moved a little."""
    model = models.mlp(64, 400, 300, 10)
    rng = np.random.default_rng(5)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        moved = values + step * values.std() * rng.standard_normal(values.shape)
        tensor.CopyFrom(numpy_helper.from_array(moved.astype(np.float32), tensor.name))
    onnx.save(model, path)
    return path


def test_by_the_command(cli: Cli) -> None:
    retrained(cli.folder / "may.onnx", 0)
    retrained(cli.folder / "june.onnx", 0.01)
    assert cli("compress", "may.onnx", "-o", "may").status == 0
    done = cli("compress", "june.onnx", "--base", "may", "-o", "june")
    assert done.status == 0, done.err
    assert "of the artifact (update.sbku)" in done.out
    update = cli.folder / "june/update.sbku"
    whole = cli.folder / "june/model.onnx"
    assert update.stat().st_size < 0.3 * whole.stat().st_size
    manifest = json.loads((cli.folder / "june/manifest.json").read_text())
    assert "update.sbku" in manifest["files"]
    (cli.folder / "device").mkdir()
    shutil.copy(cli.folder / "may/model.onnx", cli.folder / "device")
    shutil.copy(update, cli.folder / "device")
    done = cli("apply", "device", "device/update.sbku", "-o", "device/new.onnx")
    assert done.status == 0, done.err
    assert (cli.folder / "device/new.onnx").read_bytes() == whole.read_bytes()
    again = cli("apply", "device/new.onnx", "device/update.sbku", "-o", "device/other.onnx")
    assert again.status == 2
    assert "is not the artifact that this update was made for" in again.err
    assert not (cli.folder / "device/other.onnx").exists()


def test_in_place(cli: Cli) -> None:
    retrained(cli.folder / "may.onnx", 0)
    retrained(cli.folder / "june.onnx", 0.01)
    assert cli("compress", "may.onnx", "-o", "may").status == 0
    assert cli("compress", "june.onnx", "--base", "may", "-o", "june").status == 0
    assert cli("apply", "may", "june/update.sbku", "-o", "may/model.onnx").status == 0
    june = (cli.folder / "june/model.onnx").read_bytes()
    assert (cli.folder / "may/model.onnx").read_bytes() == june


def test_through_the_service(cli: Cli, server: Server, tmp_path: Path) -> None:
    may, june = retrained(tmp_path / "may.onnx", 0), retrained(tmp_path / "june.onnx", 0.01)
    assert cli("compress", str(may), "-o", "may").status == 0
    assert cli("compress", str(june), "--base", "may", "-o", "june").status == 0
    base = cli.folder / "may/model.onnx"
    with Client(server.url) as client:
        job = client.wait(client.compress(june, base=base).id)
        client.download(job, tmp_path / "there")
        for name in ("model.onnx", "update.sbku"):
            here = (cli.folder / "june" / name).read_bytes()
            assert (tmp_path / "there" / name).read_bytes() == here
        report = json.loads((tmp_path / "there/report.json").read_text())
        assert report["update"]["patched"] == 3
        with pytest.raises(ServiceProblem, match="no sparsebook operators in it"):
            client.wait(client.compress(june, base=may).id)
    done = cli("compress", str(june), "--base", "may", "--server", server.url, "-o", "sent")
    assert done.status == 0, done.err
    assert (cli.folder / "sent/update.sbku").read_bytes() == (
        tmp_path / "there/update.sbku"
    ).read_bytes()

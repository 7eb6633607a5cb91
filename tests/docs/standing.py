"""Runs the blocks of one page, in its order, in a folder that has what the page speaks of."""

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np

from tests.docs import aside
from tests.docs.blocks import Block
from tests.e2e import models
from tests.e2e.servers import COMMAND

SERVES = re.compile(r"^\$? ?.*\bsparsebook serve\b", re.MULTILINE)
ADDRESS = re.compile(r"http://(?:127\.0\.0\.1|build-server):8080")


def given(folder: Path) -> None:
    """Write what pages take for granted: models of a release and the next one, samples, a bundle."""
    for seed, name in enumerate(("model.onnx", "new.onnx", "may.onnx", "june.onnx")):
        (folder / name).write_bytes(models.small(seed))
    np.savez(folder / "data.npz", **models.samples(200))  # type: ignore[arg-type]
    command = [COMMAND, "compress", "model.onnx", "-o", "bundle"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    shutil.copytree(folder / "bundle", folder / "model-sparsebook")


class Standing:
    """A page's folder. `url` is of a service for blocks that start none of their own."""

    def __init__(self, folder: Path, source: Path, url: str) -> None:
        self._folder = folder
        self._source = source
        self._url = url
        self._hidden = folder.with_name(f"{folder.name}-hidden")
        for path in (folder, self._hidden, self._hidden / "bin"):
            path.mkdir()

    def run(self, block: Block) -> None:
        """Run a block.

        Raises:
            AssertionError: it failed; what it said.
        """
        for path in self._source.iterdir():
            if self._needs(block, path.name):
                copy = shutil.copytree if path.is_dir() else shutil.copy
                copy(path, self._folder / path.name)
        url, environment = self._url, self._environment()
        if SERVES.search(block.code):
            port = _free_port()
            url = f"http://127.0.0.1:{port}"
            self._stand_in(port)
        else:
            self._stand_in(0)
        try:
            done = subprocess.run(
                _command(block, self._placed(block, url)),
                cwd=self._folder,
                env=environment,
                check=False,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=900,  # a block that hangs; ten starts of the command take minutes beside other tests
            )
        finally:
            aside.stop(self._hidden)
        assert done.returncode == 0, f"{block}: exit status {done.returncode}\n{done.stdout}"

    def _needs(self, block: Block, name: str) -> bool:
        """Whether a block speaks of something that neither it nor a block before it makes."""
        speaks = re.search(rf"(?<![\w/-]){re.escape(name)}\b(?!-)", block.before + block.code)
        makes = re.search(
            rf"-o {re.escape(name)}(?![\w./])|savez\(\s*\"{re.escape(name)}\"|Path\(\"{re.escape(name)}\"\)",
            block.code,
        )
        if name.endswith(".onnx"):  # a program names a model to read it
            makes = None
        return bool(speaks) and not makes and not (self._folder / name).exists()

    def _placed(self, block: Block, url: str) -> str:
        """The block's code with what is at hand in the place of what stands for the reader's own."""
        code = f"{block.before}\n{block.code}".replace(".venv/bin/", "")
        if block.language != "python":
            if block.language == "console":
                assert all(re.match(r"\$ |    ", line) for line in block.code.splitlines()), block
                code = re.sub(r"^\$ ", "", code, flags=re.MULTILINE)
            newest = f"$(curl -sS '{url}/jobs?limit=1' | {sys.executable} -c 'import json, sys; print(json.load(sys.stdin)[\"jobs\"][0][\"id\"])')"
            code = re.sub(r"\bjobs/ID\b", lambda _: f"jobs/{newest}", code)
            code = code.replace("sparsebook_…", f"$(cat {self._hidden}/key)")
            # It is in the background by itself, and ready.
            code = re.sub(r"(\bsparsebook serve\b[^#\n]*?) &(?=\s)", r"\1", code)
        code = code.replace("/var/lib/sparsebook", f"{self._hidden}/data")
        return ADDRESS.sub(url, code)

    def _environment(self) -> dict[str, str]:
        path = [str(self._hidden / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        return {
            **os.environ,
            "PATH": os.pathsep.join(path),
            "SPARSEBOOK_MIN_FREE_BYTES": "1000000",
            "SPARSEBOOK_SERVE_WORKER": "0",
        }

    def _stand_in(self, port: int) -> None:
        command = f'{sys.executable} {aside.__file__} {COMMAND} {self._hidden} {port} "$@"'
        path = self._hidden / "bin/sparsebook"
        path.write_text(f"#!/bin/sh\nexec {command}\n")
        path.chmod(0o755)


def _command(block: Block, code: str) -> list[str]:
    if block.language == "python":
        return [sys.executable, "-W", "error", "-c", code]
    return ["bash", "-euo", "pipefail", "-c", code]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])

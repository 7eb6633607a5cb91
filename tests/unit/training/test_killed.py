"""Killed at any moment, and started again: the same bytes as undisturbed, and nothing half-written."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.unit.training.graphs import blobs, mlp, pruned_and_shared
from tests.unit.training.worker import PYTHON, Job, Result

# The program itself, killed right before it changes its files for the n-th time.
KILLED = """
import os, runpy, signal, sys
left, events = int(sys.argv.pop(1)), {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "shutil.rmtree"}
def hook(event, arguments):
    global left
    changes = event in events or (event == "open" and isinstance(arguments[1], str) and "w" in arguments[1])
    left -= changes
    if changes and left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
runpy.run_module("sparsebook_training", run_name="__main__", alter_sys=True)
"""


def start_killed(job: Job, change: int) -> int:
    command = [str(PYTHON), "-P", "-c", KILLED, str(change)]
    folders = [str(job.order), str(job.dataset), str(job.folder / "killed")]
    with subprocess.Popen(
        [*command, *folders],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        assert process.stdout is not None
        process.stdout.read()
    return process.returncode


def job_of_two_shards(tmp_path: Path, epochs: int, samples: int = 300) -> Job:
    job = Job(tmp_path)
    model, parameters, _ = pruned_and_shared()
    job.write_order(model, parameters, epochs=epochs, noise={"x": 0.1})
    job.write_dataset([blobs(samples, 1), blobs(samples // 2, 2)], [blobs(100, 3)])
    return job


def test_killed_between_any_two_changes_of_its_files(tmp_path: Path) -> None:
    job = job_of_two_shards(tmp_path, epochs=3)
    expected = job.train("undisturbed")
    # The first nine make the graph; then states and checkpoints are written, put in place, removed; at last the result. Each start
    # goes on where the one before was killed. (Every one of the 97 changes of a training was tried once, killed there alone.)
    for change in (14, 23, 27, 30, 24, 35, 31, 5, 40):
        assert start_killed(job, change) == -signal.SIGKILL
    result = job.train("killed")
    assert result.bytes == expected.bytes
    assert_same(result, expected)
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [
        "lock",
        "order.sha256",
        "result",
    ]


def test_killed_while_it_trains(tmp_path: Path) -> None:
    job = job_of_two_shards(tmp_path, epochs=12, samples=3000)
    expected = job.train("undisturbed")
    for epoch in (3, 7):
        with job.start("killed") as process:
            while last_checkpoint(tmp_path / "killed") < epoch:
                assert process.poll() is None, process.communicate()
                time.sleep(0.002)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    result = job.train("killed")
    assert result.bytes == expected.bytes
    assert_same(result, expected)
    assert result.values["seconds"] > 0


def last_checkpoint(work: Path) -> int:
    return max(
        (int(path.name.partition("-")[2]) for path in work.glob("checkpoint-*[0-9]")), default=0
    )


def assert_same(found: Result, expected: Result) -> None:
    """All but the clock's figures."""
    clock = ("seconds", "samples_per_second")
    first, second = (
        {k: v for k, v in r.values.items() if k not in clock} for r in (found, expected)
    )
    assert first == second


@pytest.mark.parametrize("way", ["parent", "stdin"])
def test_it_ends_with_its_parent(tmp_path: Path, way: str) -> None:
    job = Job(tmp_path)
    job.write_order(*mlp(), epochs=1_000_000)
    job.write_dataset([blobs(300, 1)], [])
    if way == "stdin":
        with job.start() as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdout.readline()
            process.stdin.close()
            assert process.wait(60) < 0
        return
    script = (
        "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE);"
        "print(p.pid, flush=True); p.wait()"
    )
    command = [str(PYTHON), "-P", "-m", "sparsebook_training", str(job.order), str(job.dataset)]
    with subprocess.Popen(
        [sys.executable, "-c", script, *command, str(tmp_path / "work")],
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert json.loads(parent.stdout.readline())["kind"] == "progress"
        os.kill(parent.pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the worker outlived its parent"
            time.sleep(0.02)

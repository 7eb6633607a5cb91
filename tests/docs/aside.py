"""Stands in for `sparsebook` in the blocks of a page, and runs the real one.

`serve` and `worker` go on in the background as soon as they are ready, in place of the one before, on the port that the block was given;
a key that is created is kept, so that the block can use it.
"""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

import psutil

READY = {"serve": '"listening"', "worker": '"fine-tuning worker ready"'}
SECONDS = 120


def main(real: str, folder: Path, port: str, given: list[str]) -> int:
    if given[:1] and given[0] in READY:
        stop(folder)
        if given[0] == "serve":
            given = [*given, "--port", port]
        return begin([real, *given], READY[given[0]], folder)
    if given[:2] == ["keys", "create"]:
        done = subprocess.run([real, *given], check=True, stdout=subprocess.PIPE, text=True)
        (folder / "key").write_text(done.stdout.strip())
        sys.stdout.write(done.stdout)
        return 0
    return subprocess.run([real, *given], check=False).returncode


def begin(command: list[str], ready: str, folder: Path) -> int:
    log = folder / "log"
    with log.open("wb") as into:
        process = subprocess.Popen(command, stdout=into, stderr=into, start_new_session=True)
    (folder / "pid").write_text(str(process.pid))
    deadline = time.monotonic() + SECONDS
    while ready not in log.read_text():
        if process.poll() is not None or time.monotonic() > deadline:
            sys.stderr.write(log.read_text())
            return 1
        time.sleep(0.05)
    return 0


def stop(folder: Path) -> None:
    """End what goes on in the background, as an operator does."""
    path = folder / "pid"
    if not path.exists():
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(path.read_text()))
        process.terminate()
        deadline = time.monotonic() + SECONDS
        # Nobody waits for it, so that it may stay a zombie.
        while process.is_running() and process.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, f"{process} does not stop"
            time.sleep(0.05)
    path.unlink()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], sys.argv[4:]))

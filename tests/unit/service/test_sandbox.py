"""Every wall of the sandbox, by a process that tries to get through it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from sparsebook_service.jobs import sandbox

# Runs in a sandbox around the folder of argument 1, reading that of argument 2, knowing names in that of argument 3.
PRELUDE = """
import ctypes, errno, json, os, resource, signal, socket, subprocess, sys, threading
from pathlib import Path
from sparsebook_service.jobs.protocol import Limits
from sparsebook_service.jobs.sandbox import View, enclose
work, reads, named, limits = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), json.loads(sys.argv[4])
enclose(Limits(unpacked_bytes=1, zip_ratio=1, **limits), View(work, (reads,), (named,)))
def refused(attempt):
    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
"""
OPEN_HANDED = {"address_space_bytes": 8 << 30, "cpu_seconds": None, "file_bytes": None}

pytestmark = pytest.mark.skipif(bool(sandbox.missing()), reason="; ".join(sandbox.missing()))


def walled(folder: Path, attempt: str, **limits: int) -> subprocess.CompletedProcess[bytes]:
    for name in ("work", "reads", "named", "outside"):
        (folder / name).mkdir(exist_ok=True)
        (folder / name / "file").write_text(name)
    code = PRELUDE + f"folder = Path({str(folder)!r})\n" + attempt
    arguments = [*(str(folder / name) for name in ("work", "reads", "named"))]
    return subprocess.run(  # the attempts are this file's own
        [sys.executable, "-P", "-c", code, *arguments, json.dumps(OPEN_HANDED | limits)],
        capture_output=True,
        check=False,
        timeout=120,
        cwd=folder / "work",
    )


def outcome(folder: Path, attempt: str, **limits: int) -> str:
    ended = walled(folder, attempt, **limits)
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout.decode().strip()


def outcomes(folder: Path, attempts: dict[str, str]) -> dict[str, str]:
    """What comes of each of several attempts."""
    code = "".join(
        f"found[{name!r}] = refused(lambda: {each})\n" for name, each in attempts.items()
    )
    told: dict[str, str] = json.loads(
        outcome(folder, f"found = {{}}\n{code}print(json.dumps(found))")
    )
    return told


FILES = {
    "read outside": ("(folder / 'outside/file').read_text()", "EACCES"),
    "list outside": ("os.listdir(folder / 'outside')", "EACCES"),
    "list the root": ("os.listdir('/')", "EACCES"),
    "read the passwords": ("Path('/etc/passwd').read_text()", "EACCES"),
    "read another process": ("Path('/proc/1/environ').read_text()", "EACCES"),
    "write outside": ("(folder / 'outside/new').write_text('x')", "EACCES"),
    "write where it may read": ("(folder / 'reads/new').write_text('x')", "EACCES"),
    "cut what it may read": ("os.truncate(folder / 'reads/file', 0)", "EACCES"),
    "remove what it may read": ("os.unlink(folder / 'reads/file')", "EACCES"),
    "list what it must know": ("os.listdir(folder / 'named')", "EACCES"),
    "a symbolic link": ("os.symlink('/etc/passwd', work / 'link')", "EACCES"),
    "a hard link out": ("os.link(folder / 'outside/file', work / 'link')", "EXDEV"),
    "a hard link to what it may read": ("os.link(folder / 'reads/file', work / 'link')", "EXDEV"),
    "a pipe": ("os.mkfifo(work / 'pipe')", "EACCES"),
    "move out": ("os.rename(work / 'file', folder / 'outside/moved')", "EXDEV"),
    "by way of the parent": ("Path('../outside/file').read_text()", "EACCES"),
}


def test_files(tmp_path: Path) -> None:
    """Links to what lies outside are refused as if it were another disk, or for want of a right, as the kernel likes."""
    found = outcomes(tmp_path, {name: code for name, (code, _) in FILES.items()})
    for name, (_, expected) in FILES.items():
        assert found[name] in {expected, "EACCES"}, name


def test_its_own_files(tmp_path: Path) -> None:
    attempt = """
(work / "a").mkdir(); (work / "a/file").write_text("1"); os.rename(work / "a/file", work / "moved"); os.rmdir(work / "a")
print((work / "moved").read_text(), (reads / "file").read_text(), (named / "file").read_text(), os.listdir(reads))
"""
    assert outcome(tmp_path, attempt) == "1 reads named ['file']"


NETWORK_AND_PROCESSES = {
    "TCP": "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "IPv6": "socket.socket(socket.AF_INET6, socket.SOCK_STREAM)",
    "a local socket": "socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)",
    "the kernel": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "fork": "os.fork()",
    "a program": "os.execv(sys.executable, [sys.executable, '-c', '1'])",
    "a program in a process": "subprocess.run([sys.executable, '-c', '1'])",
    "a shell": "os.posix_spawn('/bin/sh', ['sh', '-c', 'true'], {})",
    "the parent": "os.kill(os.getppid(), signal.SIGTERM)",
}


def test_no_network_and_nobody_else(tmp_path: Path) -> None:
    found = outcomes(tmp_path, NETWORK_AND_PROCESSES)
    assert found == dict.fromkeys(NETWORK_AND_PROCESSES, "EPERM")


def test_threads_are_behind_the_walls_too(tmp_path: Path) -> None:
    attempt = """
found = []
def look():
    found.append(refused(lambda: (folder / "outside/file").read_text()))
    found.append(refused(lambda: socket.socket()))
thread = threading.Thread(target=look); thread.start(); thread.join()
print(*found)
"""
    assert outcome(tmp_path, attempt) == "EACCES EPERM"


def test_memory(tmp_path: Path) -> None:
    attempt = """
try:
    bytearray(2 << 30)
except MemoryError:
    print("refused")
"""
    assert outcome(tmp_path, attempt, address_space_bytes=1 << 30) == "refused"


def test_processor_time(tmp_path: Path) -> None:
    ended = walled(tmp_path, "while True: pass", cpu_seconds=1)
    assert ended.returncode == -24  # SIGXCPU


def test_file_size(tmp_path: Path) -> None:
    attempt = "print(refused(lambda: (work / 'big').write_bytes(bytes(2 << 20))))"
    assert outcome(tmp_path, attempt, file_bytes=1 << 20) == "EFBIG"
    assert (tmp_path / "work/big").stat().st_size == 1 << 20


def test_limits_cannot_be_lifted(tmp_path: Path) -> None:
    """Not even as root, who may lift hard limits."""
    attempt = """
def lift(kind):
    _, hard = resource.getrlimit(kind)
    assert hard != resource.RLIM_INFINITY
    try:
        resource.setrlimit(kind, (hard + 1, hard + 1))
    except ValueError as error:
        return error
print(*(lift(getattr(resource, f"RLIMIT_{name}")) for name in ("AS", "FSIZE", "CPU", "NPROC")), sep=", ")
"""
    found = outcome(tmp_path, attempt, cpu_seconds=100, file_bytes=1 << 20)
    assert found == ", ".join(["not allowed to raise maximum limit"] * 4)


def test_no_core_and_first_to_go(tmp_path: Path) -> None:
    attempt = """
print(resource.getrlimit(resource.RLIMIT_CORE), Path("/proc/self/oom_score_adj").read_text().strip())
"""
    assert outcome(tmp_path, attempt) == "(0, 0) 1000"


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sandbox.missing() == []
    monkeypatch.setattr(sandbox, "get_abi_version", lambda: 3)
    monkeypatch.setattr(sandbox, "_SECCOMP", None)
    landlock, network = sandbox.missing()
    assert "ABI 6; here 3" in landlock
    assert "network" in network

"""The walls around the process that parses untrusted files.

Limits of memory, processor time, file size and processes (rlimits), a view of the file system that ends at the job's own files
(landlock), and no network, no other programs and no other processes (seccomp). They hold for the calling thread and for all that it
starts, so they go up while it is the only one. Each wall stands by itself: where the kernel or a library lacks one, the others hold,
and `missing` says what is not there.
"""

import errno
import importlib
import resource
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from py_landlock import (
    AccessFs,
    Landlock,
    LandlockDisabledError,
    LandlockError,
    LandlockNotAvailableError,
    get_abi_version,
)

from sparsebook_service.jobs.protocol import Limits, Order

# Threads, with those of all processes of this user; seccomp is what forbids processes.
MOST_TASKS = 4096
# What Python, NumPy and ONNX Runtime read of the system besides their own files: libraries, time zone, processors, memory.
SYSTEM = (
    "/usr",
    "/lib",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/proc/cpuinfo",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/self",
    "/proc/sys/vm",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/dev/urandom",
)
_READ = AccessFs.READ_FILE | AccessFs.READ_DIR
# No links of any kind to what lies outside, no devices, no sockets, and nothing to execute.
_WORK = (
    _READ
    | AccessFs.WRITE_FILE
    | AccessFs.TRUNCATE
    | AccessFs.REFER
    | AccessFs.MAKE_DIR
    | AccessFs.MAKE_REG
    | AccessFs.REMOVE_DIR
    | AccessFs.REMOVE_FILE
)
# TCP can be forbidden and signals can be kept inside from here on; seccomp does the first everywhere.
_FULL_ABI = 6

_NO_PROCESSES = ("fork", "vfork", "execve", "execveat")
_NO_NETWORK = ("socket", "socketpair", "io_uring_setup", "io_uring_enter", "io_uring_register")
_NO_OTHERS = (
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "pidfd_getfd",
    "open_by_handle_at",
    "unshare",
    "setns",
    "mount",
    "umount2",
    "pivot_root",
    "chroot",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "memfd_create",
    "keyctl",
    "add_key",
    "request_key",
    "setrlimit",
)
_CLONE_THREAD = 0x10000


def _load_seccomp() -> ModuleType | None:
    if "\nSeccomp:" not in Path("/proc/self/status").read_text():
        return None
    # It looks for the library and its functions as it is imported.
    try:
        return importlib.import_module("pyseccomp")
    except (OSError, AttributeError):
        return None


# Before there are walls: the library is looked for by another program.
_SECCOMP = _load_seccomp()


@dataclass(frozen=True, slots=True)
class View:
    """What can be seen of the file system.

    Attributes:
        work: the folder to work in.
        reads: folders and files that can be read.
        named: folders whose files can be read by those who know their names: they cannot be listed.
    """

    work: Path
    reads: tuple[Path, ...]
    named: tuple[Path, ...] = ()

    @classmethod
    def of_order(cls, order: Order) -> "View":
        """Of the order's own files, and of no other job's."""
        files = [
            order.model,
            *order.data,
            *(f for f in (order.loss, order.metric, order.base) if f is not None),
        ]
        folders = [file.parent for file in files]
        if order.runtimes is not None:
            folders.append(order.runtimes)
        return cls(order.out, tuple(folders), order.named)


def missing() -> list[str]:
    """What this system lacks for all walls to stand; for the operator."""
    lacks = []
    try:
        abi = get_abi_version()
    except LandlockError as error:
        lacks.append(f"landlock, so that a job's process can read other files: {error}")
    else:
        if abi < _FULL_ABI:
            lacks.append(
                f"landlock of Linux 6.12 (ABI {_FULL_ABI}; here {abi}), so that signals get out"
            )
    if _SECCOMP is None:
        lacks.append("seccomp or libseccomp.so.2, so that a job's process has a network")
    return lacks


def enclose(limits: Limits, view: View) -> None:
    """Put the walls up around this process, for good. Call it while there is one thread."""
    _first_to_go()
    _limit(limits)
    _blinker(view)
    _silence()


def _first_to_go() -> None:
    """Where memory runs out on the machine, this process ends and not the service."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _limit(limits: Limits) -> None:
    wanted = {
        resource.RLIMIT_AS: limits.address_space_bytes,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_NPROC: MOST_TASKS,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        if value is not None:
            _, hard = resource.getrlimit(kind)
            lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
            # At the hard limit of processor time the end is SIGKILL, which says less than SIGXCPU.
            spare = 1 if kind == resource.RLIMIT_CPU and lowered != hard else 0
            resource.setrlimit(kind, (lowered, lowered + spare))


def _blinker(view: View) -> None:
    own = (sys.prefix, sys.base_prefix, *sys.path)
    walls = Landlock(strict=False)
    try:
        _open(walls, _READ, (*SYSTEM, *own, *view.reads))
        _open(walls, AccessFs.READ_FILE, view.named)
        _open(walls, AccessFs.READ_FILE | AccessFs.WRITE_FILE, ("/dev/null",))
        _open(walls, _WORK, (view.work,))
        walls.apply()
    except (LandlockNotAvailableError, LandlockDisabledError):
        return  # the service has said at its start what that means


def _open(walls: Landlock, access: AccessFs, paths: Iterable[str | Path]) -> None:
    for path in (Path(name) for name in map(str, paths) if name):
        if path.is_dir():
            walls.add_path_rule(path, access=access)
        elif path.exists():  # the kernel takes no right of folders for a file
            walls.add_path_rule(path, access=access & ~AccessFs.READ_DIR)


def _silence() -> None:
    if _SECCOMP is None:
        return  # likewise
    refused = _SECCOMP.ERRNO(errno.EPERM)
    walls = _SECCOMP.SyscallFilter(_SECCOMP.ALLOW)
    for name in (*_NO_PROCESSES, *_NO_NETWORK, *_NO_OTHERS):
        with suppress(OSError, ValueError):  # not every processor has every call
            walls.add_rule(refused, name)
    # A thread is a clone as well. Of clone3 the filter cannot see what is asked for: libc goes back to clone.
    walls.add_rule(refused, "clone", _SECCOMP.Arg(0, _SECCOMP.MASKED_EQ, _CLONE_THREAD, 0))
    walls.add_rule(_SECCOMP.ERRNO(errno.ENOSYS), "clone3")
    # prlimit64 is also how limits are read: only a new one is refused.
    walls.add_rule(refused, "prlimit64", _SECCOMP.Arg(2, _SECCOMP.NE, 0))
    walls.load()

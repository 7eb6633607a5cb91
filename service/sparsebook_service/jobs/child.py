"""The process of one job: `python -P -m sparsebook_service.jobs.child`.

It reads an `Order` from standard input, compresses, and reports on standard output (see `protocol`). It is where
untrusted files are parsed, so that it can be limited, and killed, without harm to the service.
"""

import errno
import hashlib
import os
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from sparsebook_compressor import compress
from sparsebook_compressor.config import Config
from sparsebook_compressor.errors import BadValue, SparsebookError
from sparsebook_compressor.progress import Progress
from sparsebook_runtime import library_path, platform_tag
from sparsebook_service.jobs import archive
from sparsebook_service.jobs.protocol import (
    Advanced,
    Done,
    Limits,
    MadeFile,
    Message,
    Order,
    Stopped,
)

Report: TypeAlias = Callable[[Message], None]


def main() -> None:
    """Carry out the order on standard input."""
    report = _reporting_on_stdout()
    order = Order.model_validate_json(sys.stdin.buffer.readline())
    _limit(order.limits)
    threading.Thread(target=_end_with_the_service, daemon=True).start()
    report(_carry_out(order, report))


def _reporting_on_stdout() -> Report:
    # Whatever else prints, in Python or in C, goes to standard error: the reports stay a clean stream of lines.
    reports = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def report(message: Message) -> None:
        reports.write(message.model_dump_json().encode() + b"\n")
        reports.flush()

    return report


def _limit(limits: Limits) -> None:
    wanted = {
        resource.RLIMIT_AS: limits.address_space_bytes,
        resource.RLIMIT_CPU: limits.cpu_seconds,
        resource.RLIMIT_FSIZE: limits.file_bytes,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in wanted.items():
        if value is not None:
            _, hard = resource.getrlimit(kind)
            lowered = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (lowered, hard))


def _end_with_the_service() -> None:
    # os.read, because a buffered reader would hold its lock while the interpreter shuts down.
    while os.read(0, 4096):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _carry_out(order: Order, report: Report) -> Done | Stopped:
    try:
        return _compress(order, report)
    except SparsebookError as error:
        return Stopped(problem=error.problem, detail=str(error))
    except MemoryError:
        limit = order.limits.address_space_bytes
        return Stopped(
            problem="limit-exceeded",
            detail=f"{order.model.name}: needs more than {limit} bytes of memory",
        )
    except OSError as error:
        # The same three that the storage takes for a full disk.
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            return Stopped(
                problem="storage-full", detail="no room left on the disk for the job's files"
            )
        raise


def _compress(order: Order, report: Report) -> Done:
    report(Advanced(stage="admit", weight=None, fraction=0.0))
    config = Config.parse(order.config)
    bundle = order.out / "bundle"
    compress(
        _unpacked(order),
        bundle,
        config,
        data=order.data,
        operator_library=library_path(),
        platform=platform_tag(),
        progress=lambda step: report(_advanced(step)),
    )
    names = sorted(str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file())
    packed = order.out / "bundle.zip"
    archive.pack(bundle, names, packed)
    return Done(
        files=tuple(_made(name, bundle / name) for name in names), bundle=_made(packed.name, packed)
    )


def _unpacked(order: Order) -> Path:
    if not archive.looks_like_zip(order.model):
        return order.model
    if order.external:
        raise BadValue(f"{order.model.name}: send external data inside the .zip, not beside it")
    return archive.unpack_model(
        order.model,
        order.out / "model",
        max_bytes=order.limits.unpacked_bytes,
        max_ratio=order.limits.zip_ratio,
    )


def _advanced(step: Progress) -> Advanced:
    return Advanced(stage=step.stage, weight=step.weight, fraction=step.fraction)


def _made(name: str, path: Path) -> MadeFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return MadeFile(name=name, bytes=path.stat().st_size, sha256=digest)


if __name__ == "__main__":
    main()

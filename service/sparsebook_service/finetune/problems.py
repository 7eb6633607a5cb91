"""From the problems that the trainer program names to errors, and what they say to people."""

import signal

from sparsebook_compressor.errors import (
    BadData,
    InternalError,
    NotTrainable,
    SparsebookError,
    StorageFull,
)

# ONNX Runtime's own log, below its errors.
_CHATTER = ("[V:onnxruntime", "[I:onnxruntime", "[W:onnxruntime")
_REFUSED = (
    "docs/trainable.md lists what can be trained; a compression without data needs no training"
)
MEMORY = "the system ended the trainer, most likely because memory ran out"


class LimitExceeded(SparsebookError):
    """The training needs more than the machine of the worker has."""

    problem = "limit-exceeded"


class Stopped(Exception):
    """A training that cannot be done; `problem` is the slug of a problem type."""

    def __init__(self, problem: str, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem


# ONNX Runtime takes an allocation that fails for a fault of the graph.
_NO_MEMORY = ("bad_alloc", "MemoryError", "Failed to allocate memory")


def stopped(problem: str, detail: str) -> Stopped:
    """What the trainer says that it could not do, under the problem that it is."""
    if any(sign in detail for sign in _NO_MEMORY):
        return Stopped(
            LimitExceeded.problem, f"the training needs more memory than it may use: {detail}"
        )
    return Stopped(problem, detail)


_ERRORS: dict[str, type[SparsebookError]] = {
    error.problem: error
    for error in (NotTrainable, BadData, StorageFull, LimitExceeded, InternalError)
}


def to_error(problem: str, detail: str) -> SparsebookError:
    """The error that a `Trainer` raises for a training that stopped."""
    kind = _ERRORS.get(problem, InternalError)
    # ONNX Runtime's own words say what is wrong, and not what to do.
    return kind(f"{detail}; {_REFUSED}" if kind is NotTrainable else detail)


def death(status: int, said: str) -> str:
    """How a trainer program has ended that gave no last line.

    Args:
        status: the exit status, or minus the signal that ended it.
        said: what it wrote to standard error.
    """
    if status == -signal.SIGKILL:
        return MEMORY
    how = f"the trainer ended with {'signal' if status < 0 else 'status'} {abs(status)}"
    words = [line for line in said.splitlines() if not any(kind in line for kind in _CHATTER)]
    return f"{how}: {words[-1]}" if words else how


def of_death(how: str) -> str:
    """The problem of a trainer that died again and again."""
    return "limit-exceeded" if how == MEMORY else "internal"

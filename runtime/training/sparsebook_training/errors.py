"""What goes wrong, in the words of docs/training.md, section 5."""

import errno
from typing import Literal

Problem = Literal["not-trainable", "bad-data", "internal", "storage-full"]

# EFBIG is a file size limit (ulimit -f): no room either.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class Failed(Exception):
    """The order cannot be carried out.

    Attributes:
        problem: its slug.
        detail: what is wrong, where, and what to do, for the person who reads it.
    """

    def __init__(self, problem: Problem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail


def is_full(error: OSError) -> bool:
    """Whether there was no room to write."""
    return error.errno in _FULL

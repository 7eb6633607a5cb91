"""What a process that parses files of strangers may know of the service's environment: nothing that opens a door."""

import os
from collections.abc import Mapping

_NAMES = frozenset(
    {
        "HOME",
        "LANG",
        "LANGUAGE",
        "LD_LIBRARY_PATH",
        "PATH",
        "SPARSEBOOK_ISA",
        "SYSTEMROOT",
        "TMPDIR",
        "TZ",
    }
)
# How Python behaves, and how many threads libraries of numbers use, on which devices.
_PREFIXES = ("CUDA_", "KMP_", "LC_", "MKL_", "NVIDIA_", "OMP_", "OPENBLAS_", "PYTHON")


def harmless(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that such a process gets: those that are known to be needed, so that no secret must be known to be one.

    >>> harmless({"PATH": "/bin", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "x", "SPARSEBOOK_DATABASE_URL": "y"})
    {'PATH': '/bin', 'LC_ALL': 'C'}
    """
    return {
        name: value
        for name, value in environment.items()
        if name in _NAMES or name.startswith(_PREFIXES)
    }

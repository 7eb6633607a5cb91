"""Runs models that Sparsebook has compressed, in ONNX Runtime.

The operators live in one shared library beside this module. ``register`` adds them to a session's options;
``InferenceSession`` does both steps. ONNX Runtime itself is imported only when a session is made, from
whichever package provides it.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["InferenceSession", "library_path", "platform_tag", "register"]

_SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_LIBRARIES = {"darwin": "libsparsebook.dylib", "win32": "sparsebook.dll"}


def platform_tag() -> str:
    """Name this machine's platform as operator libraries are named: ``linux-x86_64``, ``macos-arm64``.

    Apple calls the 64-bit ARM architecture arm64, the others aarch64; the tag follows them.
    """
    machine = platform.machine().lower()
    machine = _MACHINES.get(machine, machine)
    system = _SYSTEMS.get(sys.platform, sys.platform)
    return f"{system}-{'arm64' if (system, machine) == ('macos', 'aarch64') else machine}"


def library_path() -> Path:
    """Give the operator library's absolute path.

    Raises:
        FileNotFoundError: the installed package has no library for this platform.
    """
    path = Path(__file__).resolve().parent / _LIBRARIES.get(sys.platform, "libsparsebook.so")
    if not path.is_file():
        raise FileNotFoundError(
            f"the operator library {path} is missing: this copy of sparsebook-runtime was not built for "
            f"{platform_tag()}; install it from a wheel, or with `pip install ./runtime` from the sources"
        )
    return path


def register(session_options: onnxruntime.SessionOptions) -> None:
    """Make the operators of the domain ``sparsebook`` known to sessions created with these options.

    Raises:
        FileNotFoundError: the installed package has no library for this platform.
        Exception: what ONNX Runtime raises for a library that it cannot load, or because it is older than 1.16.
    """
    session_options.register_custom_ops_library(str(library_path()))


def InferenceSession(  # noqa: N802 - stands where onnxruntime.InferenceSession would
    path_or_bytes: str | os.PathLike[str] | bytes,
    sess_options: onnxruntime.SessionOptions | None = None,
    **kwargs: Any,
) -> onnxruntime.InferenceSession:
    """Create an ``onnxruntime.InferenceSession`` that knows the operators.

    Args:
        path_or_bytes: the model's file, or its bytes.
        sess_options: options to use; the operators are added to them. New ones by default.
        **kwargs: everything else that ``onnxruntime.InferenceSession`` takes.

    Raises:
        ImportError: no package that provides ``onnxruntime`` is installed.
        FileNotFoundError: the installed package has no library for this platform.
        Exception: what ONNX Runtime raises for a model that it cannot load; its message names a damaged payload.
    """
    try:
        import onnxruntime  # noqa: PLC0415 - a deploy target may bring it later, or bring the training build
    except ImportError as error:
        raise ImportError(
            "running a model needs ONNX Runtime: `pip install onnxruntime`, 1.16 or newer"
        ) from error
    options = onnxruntime.SessionOptions() if sess_options is None else sess_options
    register(options)
    return onnxruntime.InferenceSession(path_or_bytes, options, **kwargs)

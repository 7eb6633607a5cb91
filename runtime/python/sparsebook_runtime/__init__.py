"""Runs models that Sparsebook has compressed, in ONNX Runtime.

The operators live in one shared library beside this module. ``register`` adds them to a session's options;
``InferenceSession`` does both steps. From ONNX Runtime 1.24 on, the library is an execution provider as well:
``register_execution_provider`` makes it known to the process, and sessions that take it need nothing else.
ONNX Runtime itself is imported only when one of the two needs it, from whichever package provides it.
"""

from __future__ import annotations

import ctypes
import json
import os
import platform
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import onnxruntime

__all__ = [
    "EXECUTION_PROVIDER",
    "InferenceSession",
    "library_path",
    "live_weights",
    "platform_tag",
    "register",
    "register_execution_provider",
]

EXECUTION_PROVIDER = "SparsebookExecutionProvider"
"""The execution provider's name, and the one that its library is registered under."""

_SYSTEMS = {"linux": "linux", "darwin": "macos", "win32": "windows"}
_MACHINES = {"amd64": "x86_64", "x86_64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}
_PROVIDER_SINCE = (1, 24)  # the first ONNX Runtime whose providers may bring their own operators
_provider_lock = threading.Lock()  # "is it registered?" and "register it" are two calls
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


def live_weights() -> list[dict[str, Any]] | None:
    """Describe the weights that the operator library holds for the sessions of this process.

    Returns:
        One entry a decoded weight, whoever shares it: ``weight``, its name; ``form``, how it lies in memory; ``bytes``, how
        much it takes there; ``isa``, the instructions that its kernel is made of. None where the library does not say.

    Raises:
        FileNotFoundError: the installed package has no library for this platform.
        OSError: the library cannot be loaded.
    """
    describe = getattr(ctypes.CDLL(str(library_path())), "SparsebookDescribe", None)
    if describe is None:
        return None
    describe.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
    describe.restype = ctypes.c_size_t
    size = describe(None, 0)
    while size:  # none where the library is short of memory
        buffer = ctypes.create_string_buffer(size)
        size = describe(buffer, len(buffer))
        if 0 < size <= len(buffer):
            found: list[dict[str, Any]] = json.loads(buffer.value)
            return found
    return None


def register(session_options: onnxruntime.SessionOptions) -> None:
    """Make the operators of the domain ``sparsebook`` known to sessions created with these options.

    Options that know them already, also through the execution provider, stay as they are.

    Raises:
        FileNotFoundError: the installed package has no library for this platform.
        Exception: what ONNX Runtime raises for a library that it cannot load, or because it is older than 1.16.
    """
    session_options.register_custom_ops_library(str(library_path()))


def register_execution_provider() -> list[onnxruntime.OrtEpDevice]:
    """Make the execution provider known to this process; where it is known already, nothing happens.

    Returns:
        Its devices, of which there is one, the CPU, for ``session_options.add_provider_for_devices(devices, {})``.

    Raises:
        ImportError: no package that provides ``onnxruntime`` is installed.
        RuntimeError: ONNX Runtime is older than 1.24.
        FileNotFoundError: the installed package has no library for this platform.
        Exception: what ONNX Runtime raises for a library that it cannot load.
    """
    onnxruntime = _onnxruntime()
    if _release(onnxruntime.__version__) < _PROVIDER_SINCE:
        raise RuntimeError(
            f"{EXECUTION_PROVIDER} needs ONNX Runtime 1.24 or newer, this is {onnxruntime.__version__}; "
            "here, call sparsebook_runtime.register(session_options) for every session instead"
        )
    with _provider_lock:
        if not _provider_devices(onnxruntime):
            onnxruntime.register_execution_provider_library(EXECUTION_PROVIDER, str(library_path()))
        return _provider_devices(onnxruntime)


def _provider_devices(module: Any) -> list[onnxruntime.OrtEpDevice]:
    return [d for d in module.get_ep_devices() if d.ep_name == EXECUTION_PROVIDER]


def _release(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _onnxruntime() -> Any:  # the module, which ships no types
    try:
        import onnxruntime  # noqa: PLC0415 - a deploy target may bring it later, or bring the training build
    except ImportError as error:
        raise ImportError(
            "running a model needs ONNX Runtime: `pip install onnxruntime`, 1.16 or newer"
        ) from error
    return onnxruntime


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
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions() if sess_options is None else sess_options
    register(options)
    return onnxruntime.InferenceSession(path_or_bytes, options, **kwargs)

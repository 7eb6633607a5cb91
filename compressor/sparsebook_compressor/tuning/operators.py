"""Coded weights in payloads, which `sparsebook` operators take."""

from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from sparsebook_compressor.artifact import Stored, payloads
from sparsebook_compressor.decompressing import check_headers, restore
from sparsebook_compressor.payload_header import with_codebook
from sparsebook_compressor.tuning.held import Held, mark

F32 = npt.NDArray[np.float32]


def find(model: ModelProto, artifact: Path) -> list[Held]:
    """The payloads of an artifact; their headers are checked.

    Raises:
        PayloadError, InvalidGraph, TooLarge: see `check_headers`.
    """
    found = payloads(model, artifact)
    check_headers(artifact, found)
    return [_held(payload) for payload in found]


def lay_open(model: ModelProto, artifact: Path) -> None:
    """Make the artifact a plain model, in place; tensors without data stand for its payloads, by their numbers."""
    found = payloads(model, artifact)
    numbers = {id(payload): number for number, payload in enumerate(found)}

    def hold(payload: Stored, name: str) -> None:
        header = payload.header()
        mark(payload.tensor, numbers[id(payload)], name, header.shape, header.dtype)

    restore(model, found, hold)


def _held(payload: Stored) -> Held:
    header = payload.header()
    put = partial(_put, payload)
    return Held(payload.name, header.shape, header.dtype, payload.decode, put)


def _put(payload: Stored, codebook: F32) -> None:
    tensor = payload.tensor
    for field in ("data_location", "external_data"):
        tensor.ClearField(field)
    tensor.raw_data = with_codebook(payload.data, codebook)

"""Output `portable`: standard operators only; ONNX Runtime folds them to dense weights when it loads the file.

A weight becomes the smallest of these, each ending in Gather(codebook) and Reshape:

* bytes: one uint8 code an element;
* planes: the bits of a code in planes of 4, 2 and 1 bits, packed into bytes and taken apart by integer arithmetic;
* gaps: uint8 distances between non-zeros, summed up by CumSum to positions for ScatterElements (from opset 11).

Opset 6, whose arithmetic does not broadcast, has the bytes alone. Before it ONNX Runtime has no Cast, nothing that turns a byte
into an index: there the coded values stay floats.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto, TensorProto, helper

from sparsebook_compressor.codecs import gaps
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.rewrite import dense
from sparsebook_compressor.rewrite.surgery import Surgeon

U8 = npt.NDArray[np.uint8]
I64 = npt.NDArray[np.int64]

# A distance is stored as zeros + 1 in a uint8, so that a running sum gives positions; 254 zeros are the widest gap.
_MOST_ZEROS = 254
_OPSET_CAST = 6
_OPSET_BROADCAST = 7
_OPSET_MOD = 10
_OPSET_SLICE_INPUTS = 10
_OPSET_CUMSUM = 11
# Bytes that a node and its names take in the file: 55 to 75 in the models tried.
_NODE_BYTES = 70


def replace(surgeon: Surgeon, weight: Weight, coded: CodedWeight) -> int:
    """Put standard nodes in the place of a weight; the bytes of their constants are returned."""
    opset = surgeon.opset(weight)
    if opset < _OPSET_CAST:
        return dense.replace(surgeon, weight, coded)
    return _Builder(surgeon, weight, coded, opset).build()


def expected_bytes(elements: int, nonzeros: int, centroids: int) -> int:
    """About the bytes that `replace` writes for a weight, at an opset that has all forms."""
    bits = max(1, centroids.bit_length())
    flat = _packed_bytes(elements, bits)
    sparse = nonzeros + _packed_bytes(nonzeros, bits) + 6 * _NODE_BYTES
    best = min(flat, sparse) if 0 < nonzeros < elements // 2 else flat
    return best + 4 * (centroids + 1) + 2 * _NODE_BYTES


def _packed_bytes(count: int, bits: int) -> int:
    """Bytes of `count` codes as planes, or as plain bytes where that is smaller."""
    widths = plane_widths(bits)
    planes = count * bits // 8 + (5 * len(widths) + 2) * _NODE_BYTES
    return min(count, planes) if widths != (8,) else count


def plane_widths(bits: int) -> tuple[int, ...]:
    """Planes whose widths sum to `bits`, low bits first: 8 alone, else 4, 2 and 1 as needed."""
    return (8,) if bits == 8 else tuple(width for width in (4, 2, 1) if bits & width)


def pack_plane(items: U8, width: int) -> U8:
    """Items of `width` bits into bytes: byte i holds items i, i + L, i + 2 L, … from its low bits up, L bytes in all."""
    rows = items.reshape(8 // width, -1)
    shifts = (np.arange(len(rows)) * width).astype(np.uint8)[:, None]
    packed: U8 = np.bitwise_or.reduce(rows << shifts, axis=0)
    return packed


@dataclass
class _Builder:
    surgeon: Surgeon
    weight: Weight
    coded: CodedWeight
    opset: int

    nodes: list[NodeProto] = field(default_factory=list)
    bytes: int = 0

    def build(self) -> int:
        """Choose the smallest form, write it, and say how many bytes its constants take."""
        codes = self.coded.codes
        bits = max(1, len(self.coded.codebook).bit_length())
        nonzeros = int(np.count_nonzero(codes))
        sparse = len(codes)
        if self.opset >= _OPSET_CUMSUM and nonzeros < len(codes) // 2:
            pairs = _distances(codes)
            sparse = len(pairs[0]) + _packed_bytes(len(pairs[0]), bits) + 6 * _NODE_BYTES
        if nonzeros > 0 and sparse < self._bytes_of(len(codes), bits):
            values = self._scatter(*pairs, bits)
        else:
            values = self._look_up(self._unpack(codes, bits, holds=True))
        self._finish(values)
        return self.bytes

    def _bytes_of(self, count: int, bits: int) -> int:
        return count if self.opset < _OPSET_BROADCAST else _packed_bytes(count, bits)

    def _unpack(self, codes: U8, bits: int, *, holds: bool) -> str:
        """Codes as int32[n]: the name of the value. The first plane takes the weight's place where `holds`."""
        widths = plane_widths(bits)
        if self._bytes_of(len(codes), bits) >= len(codes):
            widths = (8,)
        count = len(codes)
        padded = np.zeros(-(-count // 8) * 8, np.uint8) if widths != (8,) else codes
        padded[:count] = codes
        total, shift = "", 0
        for number, width in enumerate(widths):
            plane = (padded >> np.uint8(shift)) & np.uint8((1 << width) - 1)
            name = self._store(f"codes{number}", pack_plane(plane, width), holds and number == 0)
            part = self._plane(name, width)
            if shift:
                factor = self._constant("shift", np.array(1 << shift, np.int32))
                part = self._node("Mul", [part, factor])
            total = self._node("Add", [total, part]) if total else part
            shift += width
        return total if len(padded) == count else self._head(total, count)

    def _plane(self, name: str, width: int) -> str:
        """A packed plane as int32[8 / width x bytes]."""
        packed = self._cast(name, TensorProto.INT32)
        if width == 8:
            return packed
        divisors = 1 << (np.arange(8 // width) * width)
        column = self._constant("divisors", divisors.astype(np.int32)[:, None])
        modulus = self._constant("modulus", np.array(1 << width, np.int32))
        high = self._node("Div", [packed, column])
        if self.opset >= _OPSET_MOD:
            items = self._node("Mod", [high, modulus])
        else:
            whole = self._node("Mul", [self._node("Div", [high, modulus]), modulus])
            items = self._node("Sub", [high, whole])
        return self._reshape(items, np.array([-1]))

    def _head(self, values: str, count: int) -> str:
        if self.opset < _OPSET_SLICE_INPUTS:
            return self._node("Slice", [values], starts=[0], ends=[count], axes=[0])
        starts = self._constant("starts", np.array([0], np.int64))
        ends = self._constant("ends", np.array([count], np.int64))
        return self._node("Slice", [values, starts, ends])

    def _scatter(self, distances: U8, codes: U8, bits: int) -> str:
        """Non-zeros to their positions in a flat vector of zeros."""
        name = self._store("gaps", distances, holds=True)
        wide = len(self.coded.codes) >= 1 << 31
        steps = self._cast(name, TensorProto.INT64 if wide else TensorProto.INT32)
        axis = self._constant("axis", np.array(0, np.int64))
        positions = self._node("CumSum", [steps, axis])
        values = self._look_up(self._unpack(codes, bits, holds=False))
        size = self._constant("size", np.array([len(self.coded.codes)], np.int64))
        zero = TensorProto(dims=[1], data_type=TensorProto.FLOAT, float_data=[0.0])
        zeros = self._node("ConstantOfShape", [size], value=zero)
        return self._node("ScatterElements", [zeros, positions, values], axis=0)

    def _look_up(self, codes: str) -> str:
        table = np.concatenate([np.zeros(1, np.float32), self.coded.codebook])
        return self._node("Gather", [self._constant("codebook", table), codes], axis=0)

    def _finish(self, values: str) -> None:
        """Shape, dtype and the weight's own name."""
        if self.weight.dtype != TensorProto.FLOAT:
            values = self._cast(values, self.weight.dtype)
        self._reshape(values, np.array(self.weight.shape), self.surgeon.stand_in(self.weight))
        self.surgeon.insert(self.weight, self.nodes)

    def _store(self, name: str, data: U8, holds: bool) -> str:
        if not holds:
            return self._constant(name, data)
        name = self.surgeon.fresh(f"{self.weight.value}.{name}")
        self.surgeon.replace_tensor(self.weight, name, data)
        self.bytes += data.nbytes
        return name

    def _constant(self, name: str, data: npt.NDArray[np.generic]) -> str:
        self.bytes += data.nbytes
        return self.surgeon.add_constant(self.weight, f"{self.weight.value}.{name}", data)

    def _cast(self, value: str, dtype: int) -> str:
        return self._node("Cast", [value], to=dtype)

    def _reshape(self, value: str, shape: I64, output: str | None = None) -> str:
        target = self._constant("shape", shape.astype(np.int64))
        return self._node("Reshape", [value, target], output)

    def _node(
        self, op: str, inputs: list[str], output: str | None = None, **attributes: Any
    ) -> str:
        name = output or self.surgeon.fresh(f"{self.weight.value}.{op.lower()}")
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name


def _distances(codes: U8) -> tuple[U8, U8]:
    """Distances whose running sum gives the positions of the non-zeros (fillers among them), and their codes."""
    positions = np.flatnonzero(codes)
    zeros, values = gaps.encode(positions, codes[positions], _MOST_ZEROS)
    distances = zeros + 1
    if len(distances):
        distances[0] -= 1  # positions count from 0
    return distances, values

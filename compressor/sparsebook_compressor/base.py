"""The last release's artifact: what became of weights then."""

from dataclasses import dataclass
from pathlib import Path

from sparsebook_compressor import admit
from sparsebook_compressor.artifact import Stored, payloads
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.payload import CodedWeight
from sparsebook_compressor.rewrite.operator import PAYLOAD_SUFFIX


@dataclass(frozen=True, eq=False)
class Base:
    """Payloads of an artifact by their names."""

    path: Path
    stored: dict[str, Stored]

    @classmethod
    def of(cls, path: Path) -> "Base":
        """Read an artifact, its payloads left in their file.

        Raises:
            BadValue: it holds no payloads.
            InputError: it is no ONNX model.
        """
        found = payloads(admit.load(path), path)
        if not found:
            raise BadValue(
                f"base {path.name}: no sparsebook operators in it; give the last release's model.onnx, of the output operator"
            )
        return cls(path, {each.name: each for each in found})

    def find(self, weight: Weight) -> CodedWeight | None:
        """What a weight was; None where there was none of its name, shape and dtype.

        Raises:
            PayloadError: the base's payload is damaged.
        """
        stored = self.stored.get(weight.value + PAYLOAD_SUFFIX)
        if stored is None:
            return None
        header = stored.header()
        fits = header.shape == weight.shape and header.dtype == weight.dtype
        return stored.decode() if fits else None

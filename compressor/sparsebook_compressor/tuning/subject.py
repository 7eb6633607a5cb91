"""The artifact that is tuned: its coded weights, whatever its output is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto

from sparsebook_compressor import admit
from sparsebook_compressor.decompressing import decompress
from sparsebook_compressor.errors import BadValue, InvalidGraph
from sparsebook_compressor.graph.view import GraphView, survey
from sparsebook_compressor.tuning import operators, portables
from sparsebook_compressor.tuning.held import Held, marked

F32 = npt.NDArray[np.float32]

BEFORE, AFTER = "artifact", "tuned"


@dataclass(frozen=True, eq=False)
class Subject:
    """An artifact.

    Attributes:
        path: of its file.
        model: as parsed; `put` makes the tuned artifact of it.
        output: "operator" or "portable".
        held: its coded weights, by number.
        library: the operator library, where it has operators and one is there.
        scratch: a folder for files.
    """

    path: Path
    model: ModelProto
    output: str
    held: list[Held]
    library: Path | None
    scratch: Path

    @classmethod
    def find(cls, artifact: Path, library: Path | None, scratch: Path) -> "Subject":
        """Look for codes in a file.

        Raises:
            InputError: the file is no ONNX model, or a payload is damaged.
            BadValue: there are no codes in it.
        """
        model = admit.load(artifact)
        if held := operators.find(model, artifact):
            return cls(artifact, model, "operator", held, library, scratch)
        if held := portables.find(model, artifact):
            return cls(artifact, model, "portable", held, None, scratch)
        raise BadValue(
            f"{artifact.name}: no codes in it that could be tuned: it is a plain model, or an artifact whose output is 'dense'; "
            "tune one whose output is 'operator' or 'portable'"
        )

    def opened(self) -> tuple[ModelProto, GraphView, dict[str, Held]]:
        """The artifact as a plain model, in which tensors without data stand for coded weights, and which is which.

        Raises:
            InvalidGraph: nothing takes a coded weight as its weight.
        """
        model = admit.load(self.path)
        opener = operators if self.output == "operator" else portables
        opener.lay_open(model, self.path)
        view = survey(model, self.path)
        numbers = marked(view)
        lost = set(range(len(self.held))) - set(numbers.values())
        if lost:
            raise InvalidGraph(
                f"{self.path.name}: no node takes {self.held[min(lost)].name!r} as its weight; compress the model again"
            )
        return model, view, {name: self.held[number] for name, number in numbers.items()}

    def runnable(self, artifact: Path, stage: str) -> tuple[Path, Path | None]:
        """What runs as the artifact of a stage does, and its library: plain floats where there is no library."""
        if self.output != "operator" or self.library is not None:
            return artifact, self.library
        plain = self.scratch / f"{stage}.onnx"
        if not plain.exists():
            decompress(artifact, plain)
        return plain, None

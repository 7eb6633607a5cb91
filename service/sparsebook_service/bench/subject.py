"""One of the two models that are compared: its file, by which door its operators come, what its weights take in memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnx import ModelProto

from sparsebook_compressor import admit, inspect, pack
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.report import FileFacts
from sparsebook_compressor.rewrite.operator import PAYLOAD_SUFFIX
from sparsebook_compressor.rewrite.surgery import DOMAIN
from sparsebook_runtime import library_path
from sparsebook_service.bench.protocol import Door
from sparsebook_service.bench.result import WeightForm

FLOATS = "floats"


@dataclass(frozen=True, eq=False)
class Subject:
    """A model that is measured."""

    path: Path
    parsed: ModelProto
    facts: FileFacts
    door: Door

    @classmethod
    def read(cls, path: Path, door: Door) -> "Subject":
        """Read a file.

        Args:
            path: an artifact or any other model.
            door: by which operators are to come where the model has some.

        Raises:
            InputError: it is no valid model, or needs the operator library and there is none.
        """
        parsed = admit.load(path)
        if not any(opset.domain == DOMAIN for opset in parsed.opset_import):
            door = "none"
        else:
            try:
                library_path()
            except FileNotFoundError as error:
                raise BadValue(f"{path.name} has operators: {error}") from error
        return cls(path, parsed, pack.source_facts(path, parsed), door)

    def weight_forms(
        self, live: Sequence[dict[str, Any]] | None, floats: WeightForm
    ) -> tuple[WeightForm, ...] | None:
        """How the weights lie in memory, once the model is loaded.

        Args:
            live: what the operator library holds; None where it does not say.
            floats: the original's weights, which every other output of a compression unfolds again.

        Returns:
            None where nobody can say.
        """
        if self.door == "none":
            return (floats,)
        if live is None:
            return None
        found: Counter[tuple[str, str]] = Counter()
        sizes: Counter[tuple[str, str]] = Counter()
        for weight in live:
            found[weight["form"], weight["isa"]] += 1
            sizes[weight["form"], weight["isa"]] += weight["bytes"]
        held = {weight["weight"].removesuffix(PAYLOAD_SUFFIX) for weight in live}
        for row in inspect(self.path).rows:
            # What the library has let go of is a constant of ONNX Runtime's own by now.
            if row.name not in held:
                found[FLOATS, ""] += 1
                sizes[FLOATS, ""] += row.bytes_before
        return tuple(
            WeightForm(form=form, isa=isa, weights=count, bytes=sizes[form, isa])
            for (form, isa), count in sorted(found.items())
        )

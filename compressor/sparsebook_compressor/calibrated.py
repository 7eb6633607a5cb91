"""What a calibration did, for the report: plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CalibrationRow:
    """One weight.

    Attributes:
        name: of the weight.
        seen: what an error in it was weighed by: "second moments", "rows by use", "channels alike".
        vectors: input vectors, or rows looked up, that were seen; 0 where errors are weighed by channels.
        sensitivity: squared relative error of the outputs, for one of the layer's.
        density: non-zeros / elements.
        bits: an element, zeros and all, zero-order entropy.
        loss: squared relative error of the layer's output, or of the weighed elements.
        bias: whether a bias took the mean's part of the error back.
    """

    name: str
    seen: str
    vectors: int
    sensitivity: float
    density: float
    bits: float
    loss: float
    bias: bool


@dataclass(frozen=True, slots=True)
class PassRow:
    """One pass: the price of a bit, bytes of all payloads, the metric on the eval part."""

    price: float
    bytes: int
    metric: float | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """The whole.

    Attributes:
        inputs: "given" or "synthetic".
        samples: that layers were looked at on.
        eval_samples, test_samples: that the metric was measured on.
        metric: in words.
        goal: what was wanted, in words.
        met: whether it was, on the eval part.
        before, after: the metric on the test part, of the original and of the compressed model.
        passes: in their order.
        kept: the number of the one that was kept.
        weights: in the graph's order.
    """

    inputs: str
    samples: int
    eval_samples: int
    test_samples: int
    metric: str
    goal: str
    met: bool
    before: float | None
    after: float | None
    passes: tuple[PassRow, ...]
    kept: int
    weights: tuple[CalibrationRow, ...]

    @classmethod
    def from_plain(cls, raw: Mapping[str, Any]) -> "Calibration":
        """From what `dataclasses.asdict` gave, by way of JSON."""
        passes = tuple(PassRow(**row) for row in raw["passes"])
        weights = tuple(CalibrationRow(**row) for row in raw["weights"])
        return cls(**{**raw, "passes": passes, "weights": weights})

    def remarks(self) -> tuple[str, ...]:
        """What a reader is to know of it, beyond the figures."""
        found = []
        if self.inputs == "synthetic":
            found.append(
                "weights were calibrated on synthetic inputs, which the model was not made for: hand in data (--data F.npz) for a "
                "smaller artifact and figures that count"
            )
        if not self.met:
            found.append(
                f"the goal was not met ({self.goal}): this is the best of {len(self.passes)} passes"
            )
        return tuple(found)

"""What comes of running a model and its artifact side by side: plain data."""

from dataclasses import dataclass

from sparsebook_compressor.report import Fidelity


@dataclass(frozen=True, slots=True)
class Pair:
    """One value of an output for the first sample: its index, the original's and the artifact's."""

    index: tuple[int, ...]
    original: float
    artifact: float


@dataclass(frozen=True, slots=True)
class Example:
    """The values of one output that are largest in the original, for the first sample."""

    name: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """What was found; the fidelity has the latency of both."""

    fidelity: Fidelity
    examples: tuple[Example, ...]

"""What a preset decides for one weight."""

from dataclasses import dataclass

from sparsebook_compressor.stages.share import Init


@dataclass(frozen=True, slots=True)
class Setting:
    """A decision.

    Attributes:
        density: share of elements that survive.
        centroids: shared values besides zero, at most.
        init, iterations: of k-means; None iterations run to convergence.
        why: the rule that decided.
    """

    density: float
    centroids: int
    init: Init
    iterations: int | None
    why: str

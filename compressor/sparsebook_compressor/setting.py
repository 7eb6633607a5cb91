"""What a preset decides for one weight."""

from dataclasses import dataclass

from sparsebook_compressor.stages.levels import Start


@dataclass(frozen=True, slots=True)
class Setting:
    """A decision.

    Attributes:
        density: share of elements that survive.
        centroids: shared values besides zero, at most.
        init, iterations: of k-means, from one of the paper's starts or a placement; None iterations run to convergence.
        why: the rule that decided.
    """

    density: float
    centroids: int
    init: Start
    iterations: int | None
    why: str

"""Second moments of a layer's inputs: how they are added up, and the factor by which errors are fed back."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]

# GPTQ's one percent of the mean diagonal, which makes H invertible and keeps few samples from being believed too much.
DAMPING = 0.01
# Second moments are never believed less than the identity of their scale is.
_MOST_SHRUNK = 0.5


@dataclass(slots=True)
class Moments:
    """Weighted sums over input vectors x, float64.

    Every vector counts 1 / (|x|^2 + mean |x|^2): where a few positions are a hundred times larger than all others (the first tokens
    of transformers, edges of pictures) they would decide alone, though what follows a layer normalises them.
    """

    size: int
    squares: F64 = field(init=False)
    sums: F64 = field(init=False)
    weight: float = 0.0
    vectors: int = 0
    scale: float = 0.0

    def __post_init__(self) -> None:
        """Begin with nothing."""
        self.squares = np.zeros((self.size, self.size))
        self.sums = np.zeros(self.size)

    def add(self, vectors: F32) -> None:
        """Count more vectors, float32[n, size]; those that are not finite are left out."""
        energy = np.square(vectors, dtype=np.float64).sum(axis=1)
        finite = np.isfinite(energy)
        if not finite.all():
            vectors, energy = vectors[finite], energy[finite]
        if not len(vectors):
            return
        if self.scale == 0.0:
            self.scale = float(energy.mean())
        if self.scale == 0.0:
            self.vectors += len(vectors)
            return
        shares = self.scale / (energy + self.scale)
        weighted = vectors * np.sqrt(shares).astype(np.float32)[:, None]
        self.squares += weighted.T @ weighted
        self.sums += shares @ vectors
        self.weight += float(shares.sum())
        self.vectors += len(vectors)

    @property
    def mean(self) -> F64:
        """Weighted mean, float64[size]."""
        return self.sums / self.weight if self.weight else self.sums

    def matrix(self, *, centred: bool) -> F64:
        """E[x x^T], float64[size, size]; about the mean where a bias takes the mean's part of an error."""
        if not self.weight:
            return np.zeros_like(self.squares)
        whole = self.squares / self.weight
        return whole - np.outer(self.mean, self.mean) if centred else whole


def shrunk(second_moments: F64, vectors: int, samples: int) -> F64:
    """Second moments drawn towards the identity of their scale, the more the fewer vectors they are from.

    Feedback makes the most of every direction in which inputs do not seem to move; from few vectors many only seem so. How far to draw is
    oracle approximating shrinkage (Chen, Wiesel, Eldar and Hero, IEEE Trans. SP 58(10), 2010, eq. 23), which takes independent
    vectors. Those of one sample (steps, tokens, pixels) are not, nor are they one: the geometric mean of vectors and samples counts.

    Args:
        second_moments: float64[n, n].
        vectors: that they are from.
        samples: that these are from.
    """
    size = len(second_moments)
    trace, square = float(np.trace(second_moments)), float(np.square(second_moments).sum())
    apart = square - trace * trace / max(1, size)
    independent = float(np.sqrt(max(1, vectors) * max(1, min(samples, vectors))))
    if size < 2 or not (np.isfinite(square) and apart > 0):
        return second_moments
    share = ((1 - 2 / size) * square + trace * trace) / ((independent + 1 - 2 / size) * apart)
    share = min(share, _MOST_SHRUNK)
    drawn: F64 = (1 - share) * second_moments + np.eye(size) * (share * trace / size)
    return drawn


@dataclass(frozen=True, slots=True)
class Factor:
    """How errors are fed back.

    Attributes:
        order: int64[n], columns in the order in which they are decided: those of most weight first.
        upper: float64[n, n] in that order, upper triangular U with U^T U = (H + damping)^-1.
        curvature: geometric mean of 1 / U_jj^2: what an error costs in a column, once later ones have made good.
    """

    order: I64
    upper: F64
    curvature: float

    @classmethod
    def of(cls, second_moments: F64) -> "Factor":
        """Factorise H, float64[n, n], symmetric and positive semidefinite but for rounding; zero is taken as the identity, as is what is not finite."""
        diagonal = np.diag(second_moments)
        level = float(diagonal.mean()) if len(diagonal) else 0.0
        if not (level > 0 and np.isfinite(second_moments).all()):
            second_moments, diagonal, level = np.eye(len(diagonal)), np.ones(len(diagonal)), 1.0
        order = np.argsort(-diagonal, kind="stable")
        # H = L L^T reversed: with J the reversal, J H J = L L^T gives H^-1 = U^T U for U = J L^-1 J, without forming H^-1.
        lower = _lower(second_moments[np.ix_(order, order)][::-1, ::-1], level)
        upper = np.linalg.inv(lower)[::-1, ::-1]
        curvature = float(np.exp(-2 * np.log(np.diag(upper)).mean()))
        return cls(order, np.ascontiguousarray(upper), curvature)


def _lower(moments: F64, level: float) -> F64:
    """The Cholesky factor of H + damping, with as much damping as it takes.

    Less the mean's part, the moments of inputs that hardly vary are a difference of large numbers, whose rounding can leave
    eigenvalues below zero by more than the usual damping.
    """
    damping = DAMPING
    while True:
        try:
            lower = np.linalg.cholesky(moments + np.eye(len(moments)) * (damping * level))
        except np.linalg.LinAlgError:
            damping *= 10
        else:
            return np.asarray(lower, np.float64)

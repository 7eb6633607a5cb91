"""How the outputs' error grows with a layer's: in proportion while it is small, and how it goes on from there is measured.

Where a squared error in a layer moves the outputs linearly, twice the loss is twice the error. A layer that is lost may do far more than that (an
attention whose largest score stays the largest until all scores are alike), so that outputs are looked at on coarse layers, too.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

# Outputs that are lost altogether, or no numbers any more.
_MOST = 1e6
# A root is found to 2^-50 of the interval.
_HALVINGS = 50


@dataclass(frozen=True, slots=True)
class Response:
    """Sensitivities at some losses of the layer.

    Attributes:
        losses: of the layer, squared and relative, ascending, above 0.
        sensitivities: squared relative error of the outputs, for one of the layer's: above 0, and nowhere falling.
    """

    losses: tuple[float, ...]
    sensitivities: tuple[float, ...]

    @classmethod
    def of(cls, seen: Sequence[tuple[float, float]], floor: float) -> "Response":
        """From losses and sensitivities as they were seen.

        Outputs that saturate make a coarse layer look harmless on the samples that were seen; that is not believed.

        Args:
            seen: at least one, in any order.
            floor: the least sensitivity that is believed, above 0.
        """
        losses: list[float] = []
        sensitivities: list[float] = []
        highest = floor
        for loss, sensitivity in sorted(seen):
            highest = min(max(highest, sensitivity), _MOST)
            if losses and loss <= losses[-1]:
                sensitivities[-1] = highest
            else:
                losses.append(loss)
                sensitivities.append(highest)
        return cls(tuple(losses), tuple(sensitivities))

    @property
    def first(self) -> float:
        """The sensitivity to small errors."""
        return self.sensitivities[0]

    def error(self, loss: float) -> float:
        """The outputs' squared relative error at a loss of the layer."""
        sensitivity, _ = self._at(loss)
        return loss * sensitivity

    def slope(self, loss: float) -> float:
        """How the outputs' error grows with the layer's loss there."""
        sensitivity, power = self._at(loss)
        return sensitivity * (1 + power)

    def price(self, price: float, loss_for: float) -> float:
        """A price of a bit in units of the outputs' error, as one in units of the layer's loss.

        Args:
            price: of a bit, above 0.
            loss_for: the loss that a layer comes to at a price of 1 in its own units (`curves.price_of`, the other way round).

        Returns:
            The price at which another bit takes as much off the outputs' error as it costs: price / slope, at the loss that belongs to it.
        """
        low, high = (math.log(price / slope) for slope in (self._steepest(), self.first))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            if math.exp(middle) * self.slope(min(1.0, math.exp(middle) * loss_for)) < price:
                low = middle
            else:
                high = middle
        return math.exp(high)

    def _steepest(self) -> float:
        knots = [math.sqrt(a * b) for a, b in zip(self.losses, self.losses[1:], strict=False)]
        return max((self.slope(loss) for loss in (*knots, *self.losses)), default=self.first)

    def _at(self, loss: float) -> tuple[float, float]:
        """The sensitivity, and of which power of the loss it is there; constant beyond what was seen."""
        index = bisect_right(self.losses, loss)
        if index == 0:
            return self.sensitivities[0], 0.0
        if index == len(self.losses):
            return self.sensitivities[-1], 0.0
        (a, b), (s, t) = (
            self.losses[index - 1 : index + 1],
            self.sensitivities[index - 1 : index + 1],
        )
        power = math.log(t / s) / math.log(b / a)
        return s * (loss / a) ** power, power

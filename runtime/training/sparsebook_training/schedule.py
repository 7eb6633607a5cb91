"""The learning rate of every step."""

import math

from sparsebook_training.order import Order


def learning_rate(order: Order, step: int, steps: int) -> float:
    """The rate of a step.

    Args:
        order: its `learning_rate` is the first step's; "cosine" falls from it towards 0 along half a cosine
            (Loshchilov and Hutter, arXiv 1608.03983, without restarts).
        step: from 0.
        steps: of the whole training.
    """
    if order.schedule == "constant":
        return order.learning_rate
    return order.learning_rate * 0.5 * (1 + math.cos(math.pi * step / steps))

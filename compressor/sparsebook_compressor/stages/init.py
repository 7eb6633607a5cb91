"""How the centroids of a codebook start."""

from typing import Literal, TypeAlias

Init: TypeAlias = Literal["linear", "density", "random"]

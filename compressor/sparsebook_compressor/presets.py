"""The presets: what they decide for a weight.

`paper` takes the densities and bits of Deep Compression (arXiv 1510.00149, Tables 2 to 5) by role; `safe` is in safe.py. Of `small` only the name is
said here: what it decides needs inputs (calibration/).
"""

import numpy as np
import numpy.typing as npt

from sparsebook_compressor.config import Preset, Share
from sparsebook_compressor.graph.roles import Role
from sparsebook_compressor.graph.view import Weight
from sparsebook_compressor.safe import safe
from sparsebook_compressor.setting import Setting
from sparsebook_compressor.stages.grids import MOST_LEVELS

F32 = npt.NDArray[np.float32]

CALIBRATED = "small"
"""Why of a weight that is left to calibration; until then, or where it cannot be, it keeps all elements and 255 values."""

PAPER: dict[Role, tuple[float, int]] = {
    "conv": (0.35, 8),
    "depthwise-conv": (0.35, 8),
    "conv-transpose": (0.35, 8),
    "gemm": (0.09, 5),
    "matmul": (0.09, 5),
    "recurrent": (0.09, 5),
    "embedding": (0.35, 8),
    "other": (0.35, 8),
}


def preset(name: Preset, weight: Weight, values: F32, share: Share, *, flat: bool) -> Setting | str:
    """The preset's decision, or the reason to leave the weight alone.

    Args:
        name: of the preset.
        weight: which the decision is for.
        values: its elements, float32[elements], all finite; `safe` looks at them.
        share: what the config says of k-means.
        flat: whether codes are stored at a fixed width, as the portable output does, so that only whole bits count.
    """
    if name == "small":
        return Setting(1.0, MOST_LEVELS, share.init, share.iterations, CALIBRATED)
    if name == "paper":
        density, bits = PAPER[weight.role]
        return Setting(
            density, (1 << bits) - 1, share.init, share.iterations, f"paper, {weight.role}"
        )
    return safe(values.reshape(weight.shape), weight.channel_axis, weight.role, share, flat=flat)

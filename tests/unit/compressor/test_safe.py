"""The preset `safe` keeps its promise: every channel's error within what is allowed, and no dearer than needed."""

import numpy as np
import pytest

from sparsebook_compressor import safe as module
from sparsebook_compressor.config import Share
from sparsebook_compressor.safe import safe
from sparsebook_compressor.setting import Setting
from sparsebook_compressor.stages.levels import sample, starting
from sparsebook_compressor.stages.prune import cut_by_density
from sparsebook_compressor.stages.share import share


def channels_error(weight: np.ndarray, setting: Setting) -> float:
    """Root of the mean over columns of the squared relative error, after really doing what was decided."""
    flat = weight.reshape(-1)
    cut = cut_by_density(flat, setting.density)
    whole = sample(weight, 1)
    assert whole is not None
    start = starting(setting.init, setting.centroids, lambda: whole.above(cut.threshold))
    shared = share(flat, cut, setting.centroids, start, setting.iterations, 0)
    table = np.concatenate([np.zeros(1, np.float32), shared.codebook])
    lost = np.square(weight - table[shared.codes].reshape(weight.shape), dtype=np.float64).sum(0)
    return float(np.sqrt((lost / np.square(weight, dtype=np.float64).sum(0)).mean()))


def weights(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    shape = (400, 100)
    match kind:
        case "normal":
            found = rng.standard_normal(shape)
        case "heavy":
            found = rng.standard_t(4, shape)
        case "uneven":
            found = rng.standard_normal(shape) * np.exp2(np.linspace(-6, 0, 100))
        case "sparse":
            found = rng.standard_normal(shape) * (rng.random(shape) < 0.3)
        case _:
            found = rng.choice([-1.0, 0.0, 0.5, 2.0], shape)
    return found.astype(np.float32)


KINDS = ("normal", "heavy", "uneven", "sparse", "few values")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("role", ["matmul", "depthwise-conv"])
def test_the_error_is_within_what_is_allowed(kind: str, role: str) -> None:
    weight = weights(kind)
    setting = safe(weight, 1, role, Share())
    assert isinstance(setting, Setting)
    limit = module.ERROR_BY_ROLE.get(role, module.ERROR)
    assert channels_error(weight, setting) <= 1.05 * module.SLACK * limit
    if setting.centroids < max(module.CENTROIDS):
        assert channels_error(weight, setting) <= 1.05 * limit
    assert setting.why.startswith("safe, error ")


def test_a_smaller_codebook_would_not_do() -> None:
    weight = weights("normal")
    setting = safe(weight, 1, "matmul", Share())
    assert isinstance(setting, Setting)
    index = module.CENTROIDS.index(setting.centroids)
    assert index > 0
    smaller = Setting(
        setting.density, module.CENTROIDS[index - 1], setting.init, setting.iterations, ""
    )
    assert channels_error(weight, smaller) > 0.95 * module.ERROR


def test_zeros_are_pruned_for_nothing() -> None:
    setting = safe(weights("sparse"), 1, "matmul", Share())
    assert isinstance(setting, Setting)
    assert channels_error(weights("sparse"), setting) < 2 * module.ERROR


def test_what_the_config_says_of_k_means_is_kept_to() -> None:
    given = Share(init="density", iterations=7)
    setting = safe(weights("normal"), 1, "matmul", given)
    assert isinstance(setting, Setting)
    assert (setting.init, setting.iterations) == ("density", 7)
    setting = safe(weights("normal"), 1, "matmul", Share(iterations=None))
    assert isinstance(setting, Setting)
    assert setting.iterations is None


def test_a_flat_output_gets_whole_bits() -> None:
    for kind in KINDS:
        setting = safe(weights(kind), 1, "matmul", Share(), flat=True)
        assert isinstance(setting, Setting)
        assert setting.centroids <= module.FLAT_CENTROIDS or "error" in setting.why


def test_all_zero_and_single_values() -> None:
    assert safe(np.zeros((20, 20), np.float32), 1, "matmul", Share()) == Setting(
        0.0, 1, "linear", 0, "safe, all zero"
    )
    ones = np.ones((20, 20), np.float32)
    setting = safe(ones, 1, "matmul", Share())
    assert isinstance(setting, Setting)
    assert channels_error(ones, setting) == 0


def test_the_axis_of_the_channels_matters() -> None:
    weight = weights("uneven")
    along, across = (safe(weight, axis, "matmul", Share()) for axis in (1, 0))
    assert isinstance(along, Setting)
    assert isinstance(across, Setting)
    turned = safe(np.ascontiguousarray(weight.T), 0, "matmul", Share())
    assert turned == along
    assert across != along

"""Densities from sensitivities: as small as asked for, and taken from those who feel it least."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sparsebook_compressor.training.course.allocation import allocate
from sparsebook_compressor.training.course.sensitivity import DENSITIES, Sensitivity
from tests.unit.compressor.training.test_settings import row

LADDER = (1.0, *DENSITIES)
Case = tuple[list[int], list[Sensitivity]]


def falling(damage: list[float]) -> Sensitivity:
    total, found = 0.0, [0.0]
    for step in damage:
        total += step
        found.append(total)
    return Sensitivity(LADDER, tuple(found))


def damages(most: float = 10.0) -> st.SearchStrategy[Sensitivity]:
    step = st.one_of(st.just(0.0), st.floats(0, most))
    return st.lists(step, min_size=len(DENSITIES), max_size=len(DENSITIES)).map(falling)


@st.composite
def cases(draw: st.DrawFn, most: float = 10.0) -> Case:
    sizes = draw(st.lists(st.integers(128, 10**7), min_size=1, max_size=6))
    return sizes, [draw(damages(most)) for _ in sizes]


def allocated(case: Case, density: float) -> list[float]:
    sizes, found = case
    rows = [replace(row(f"w{number}", 1.0), elements=size) for number, size in enumerate(sizes)]
    names = [each.name for each in rows]
    densities = allocate(rows, dict(zip(names, found, strict=True)), density)
    assert list(densities) == names
    return list(densities.values())


def mean(case: Case, densities: list[float]) -> float:
    sizes, _ = case
    kept = sum(size * density for size, density in zip(sizes, densities, strict=True))
    return kept / sum(sizes)


def smooth(scale: float) -> Sensitivity:
    """Damage that grows as the density falls, as networks show it."""
    return Sensitivity(LADDER, tuple(scale * (1 / density - 1) for density in LADDER))


@settings(max_examples=60)
@given(cases(), st.floats(0.01, 1.0))
def test_no_more_is_kept_than_asked_for(case: Case, density: float) -> None:
    found = allocated(case, density)
    assert mean(case, found) <= max(density, LADDER[-1]) * 1.001
    assert all(LADDER[-1] * 0.999 <= each <= 1 for each in found)


@settings(max_examples=40)
@given(cases(), st.floats(0.01, 1.0), st.floats(0.01, 1.0))
def test_a_smaller_plan_prunes_no_weight_less(case: Case, one: float, other: float) -> None:
    low, high = sorted((one, other))
    for smaller, larger in zip(allocated(case, low), allocated(case, high), strict=True):
        assert smaller <= larger + 1e-9


@settings(max_examples=60)
@given(cases(), st.floats(0.011, 1.0))
def test_the_size_is_met_exactly_where_everything_is_felt(case: Case, density: float) -> None:
    sizes, given_curves = case
    felt = [
        Sensitivity(LADDER, tuple(found.damage[at] + 0.1 * at for at in range(len(LADDER))))
        for found in given_curves
    ]
    assert mean((sizes, felt), allocated((sizes, felt), density)) == pytest.approx(density)


@pytest.mark.parametrize("density", [0.02, 0.1, 0.3, 0.5, 0.8])
@pytest.mark.parametrize("count", [1, 3, 8])
def test_smooth_curves_meet_the_size(count: int, density: float) -> None:
    case = (
        [10_000 * (1 + number) for number in range(count)],
        [smooth(10.0**number) for number in range(count)],
    )
    assert mean(case, allocated(case, density)) == pytest.approx(density)


@given(damages(), st.integers(2, 5), st.floats(0.01, 1.0))
def test_equal_weights_get_equal_densities(found: Sensitivity, count: int, density: float) -> None:
    densities = allocated(([5000] * count, [found] * count), density)
    assert len(set(densities)) == 1


@pytest.mark.parametrize("density", [0.05, 0.2, 0.5])
def test_what_is_felt_less_is_pruned_harder(density: float) -> None:
    scales = (0.01, 1.0, 100.0)
    found = allocated(([5000] * 3, [smooth(scale) for scale in scales]), density)
    assert found[0] < found[1] < found[2]


@pytest.mark.parametrize("density", [0.05, 0.2, 0.5])
def test_of_two_that_are_felt_alike_the_larger_is_pruned_harder(density: float) -> None:
    large, small = allocated(([100_000, 1000], [smooth(1.0), smooth(1.0)]), density)
    assert large < small


def test_a_weight_that_is_not_felt_at_all_goes_first() -> None:
    nothing = Sensitivity(LADDER, (0.0,) * len(LADDER))
    first, second = allocated(([5000, 5000], [nothing, smooth(1.0)]), 0.5)
    assert first == pytest.approx(LADDER[-1])
    assert second == pytest.approx(0.99, rel=0.1)


def test_damage_beyond_all_measure_is_still_weighed() -> None:
    """What a pruned model's infinite loss is counted as."""
    broken = Sensitivity(LADDER, (0.0, *(1e30 for _ in DENSITIES)))
    first, second = allocated(([5000, 5000], [broken, smooth(1.0)]), 0.6)
    assert first == pytest.approx(1.0)
    assert second == pytest.approx(0.2, rel=0.1)


def test_nothing_is_pruned_at_density_one() -> None:
    """Not even what does no damage."""
    free = Sensitivity(LADDER, (0.0,) * 6 + (1.0,) * (len(LADDER) - 6))
    assert allocated(([5000, 5000], [free, smooth(1.0)]), 1.0) == [1.0, 1.0]


def test_nothing_to_decide() -> None:
    assert allocate([], {}, 0.5) == {}

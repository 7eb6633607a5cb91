"""How long and how fast: the config's wishes go first, and no round is ever left without an epoch."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor import Config
from sparsebook_compressor.errors import BadValue
from sparsebook_compressor.plan import Plan, PlanRow
from sparsebook_compressor.training.orders.settings import (
    Settings,
    density_of_round,
    require_inputs,
    settle,
)


def row(name: str, density: float | None, elements: int = 1000) -> PlanRow:
    threshold = 0.1 if density is None else None
    shape = (elements // 10, 10)
    return PlanRow(
        name, "gemm", shape, elements, density, threshold, 31, "linear", None, "huffman", "a test"
    )


def plan(*densities: float | None) -> Plan:
    rows = tuple(row(f"w{number}", density) for number, density in enumerate(densities))
    return Plan("weight", 0, rows, ())


def settled(
    samples: int = 1000, *, free: bool = True, densities: Any = (0.1,), **raw: Any
) -> Settings:
    return settle(Config.parse(raw), plan(*densities), samples, free_batch=free)


def test_the_configs_wishes_go_before_the_defaults() -> None:
    train = {
        "epochs": 7,
        "batch_size": 10,
        "learning_rate": 0.5,
        "optimizer": "sgd",
        "schedule": "constant",
        "patience": 3,
        "rate": 0.25,
        "weight_decay": 0.0625,
        "noise": 0.125,
        "shift": 2,
    }
    found = settled(train=train, prune={"rounds": 2}, seed=9)
    assert found == Settings(
        round_epochs=(3, 4),
        tune_epochs=2,
        batch_size=10,
        feed=10,
        learning_rate=0.5,
        optimizer="sgd",
        schedule="constant",
        patience=3,
        rate=0.25,
        weight_decay=0.0625,
        noise=0.125,
        shift=2,
        seed=9,
    )


def test_the_defaults() -> None:
    found = settled()
    assert (found.batch_size, found.optimizer, found.learning_rate) == (64, "adamw", 1e-3)
    assert (found.schedule, found.patience, found.rate, found.seed) == ("cosine", None, 0.0, 0)
    assert settled(train={"optimizer": "sgd"}).learning_rate == 1e-2


@pytest.mark.parametrize(
    ("samples", "epochs"), [(10, 100), (1000, 100), (10_000, 26), (48_000, 16), (10_000_000, 16)]
)
def test_little_data_is_gone_through_more_often(samples: int, epochs: int) -> None:
    assert sum(settled(samples, prune={"rounds": 1}).round_epochs) == epochs


def test_fewer_samples_than_a_batch_are_the_batch() -> None:
    found = settled(5)
    assert (found.batch_size, found.feed) == (5, 5)
    assert settled(5, train={"batch_size": 1000}).batch_size == 5


def test_samples_go_one_by_one_where_the_graph_wants_them_so() -> None:
    found = settled(free=False)
    assert (found.batch_size, found.feed) == (64, 1)


@pytest.mark.parametrize(
    ("densities", "rounds"),
    [
        ((1.0,), 1),
        ((0.9,), 1),
        ((0.5,), 1),
        ((0.49,), 2),
        ((0.25, 0.9), 2),
        ((0.1,), 4),
        ((0.001,), 5),
        ((0.0,), 1),
        ((None,), 1),
        ((None, 0.3), 2),
        ((), 1),
    ],
)
def test_a_round_halves_the_survivors_at_most(
    densities: tuple[float | None, ...], rounds: int
) -> None:
    assert len(settled(densities=densities).round_epochs) == rounds


def test_the_rate_has_a_round_to_work_in() -> None:
    """It weighs while pruning still goes on: with one round it would be an option without an effect."""
    assert len(settled(densities=(0.9,), train={"rate": 0.1}).round_epochs) == 2
    assert len(settled(densities=(0.1,), train={"rate": 0.1}).round_epochs) == 4
    assert settled(train={"rate": 0.1, "epochs": 1}).round_epochs == (1, 1)
    assert settled(train={"epochs": 1}).round_epochs == (1,)


@given(
    st.integers(1, 10_000),
    st.one_of(st.none(), st.integers(1, 300)),
    st.one_of(st.none(), st.integers(1, 100)),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_every_round_has_an_epoch_and_the_last_the_most(
    samples: int, epochs: int | None, rounds: int | None, densities: list[float]
) -> None:
    raw: dict[str, Any] = {"train": {"epochs": epochs}, "prune": {"rounds": rounds}}
    found = settled(samples, densities=densities, **raw)
    given_epochs, given_rounds = sum(found.round_epochs), len(found.round_epochs)
    assert min(found.round_epochs) >= 1
    assert found.tune_epochs >= 1
    assert max(found.round_epochs) == found.round_epochs[-1]
    if rounds is not None:
        assert given_rounds == rounds
    if epochs is not None:
        assert given_epochs == max(epochs, given_rounds)
    # The rounds before the last one differ by an epoch at most.
    others = found.round_epochs[:-1]
    assert not others or max(others) - min(others) <= 1


@given(st.floats(0, 1), st.integers(1, 20))
def test_rounds_lead_to_the_density_by_equal_shares(density: float, rounds: int) -> None:
    found = [density_of_round(density, number, rounds) for number in range(1, rounds + 1)]
    assert found[-1] == density
    assert all(one >= other for one, other in pairwise(found))
    if density > 0:
        shares = [after / before for before, after in pairwise([1.0, *found])]
        assert all(math.isclose(share, shares[0], rel_tol=1e-9) for share in shares)


def test_noise_needs_an_input_of_floats() -> None:
    noisy = Config.parse({"train": {"noise": 0.1}})
    require_inputs(noisy, ("image",), ())
    require_inputs(Config(), (), ())
    with pytest.raises(BadValue, match=r"config train\.noise: no input of the model takes floats"):
        require_inputs(noisy, (), ())


def test_a_shift_needs_an_input_that_can_be_moved() -> None:
    moving = Config.parse({"train": {"shift": 2}})
    require_inputs(moving, ("image",), ("image",))
    words = r"config train\.shift: no input of the model takes floats .* longer than 2"
    with pytest.raises(BadValue, match=words):
        require_inputs(moving, ("row",), ())

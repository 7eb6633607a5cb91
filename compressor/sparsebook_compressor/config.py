"""The config of a job: one JSON object, checked before anything else is looked at.

Unknown keys are refused, and by name what another part does, so that nobody believes that it was honoured. What each key means is said
here, in the words of docs/configuration.md, whose tables are made of these models.
"""

import json
from typing import Annotated, Any, Literal, NoReturn, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from sparsebook_compressor import refusals
from sparsebook_compressor.errors import BadValue, UnknownOption
from sparsebook_compressor.payload_layout import Codec
from sparsebook_compressor.stages.init import Init

Preset: TypeAlias = Literal["safe", "paper", "small"]
Output: TypeAlias = Literal["operator", "portable", "dense"]
Scope: TypeAlias = Literal["weight", "global"]
Objective: TypeAlias = Literal["error", "bits"]

LossKind: TypeAlias = Literal["auto", "labels", "distill", "none"]
MetricKind: TypeAlias = Literal["auto", "accuracy", "agreement", "retrieval", "fidelity"]
Optimizer: TypeAlias = Literal["adamw", "sgd"]
Schedule: TypeAlias = Literal["cosine", "constant"]

ELSEWHERE = {
    (
        "prune.method",
        "obs",
    ): "optimal brain surgeon is what the preset 'small' prunes by: use that, or 'magnitude'",
}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Density = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Threshold = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Bits = Annotated[
    float,
    Field(ge=1, le=8, allow_inf_nan=False),
    AfterValidator(lambda bits: int(bits) if bits == int(bits) else bits),
]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class WeightOverride(_Section):
    """What a glob over weight names sets for the weights it matches; None leaves the preset's choice."""

    density: Density | None = Field(default=None, description="share of elements that survive")
    threshold: Threshold | None = Field(
        default=None, description="instead: elements of a magnitude up to it are pruned"
    )
    bits: Bits | None = Field(
        default=None,
        description="log2 of the codebook's size; 2^bits - 1 values besides zero. With `share.objective` `bits` the Huffman bits "
        "of a code, fractions among them",
    )
    init: Init | None = Field(default=None, description="`share.init` for these weights")
    codec: Codec | None = Field(default=None, description="`codec` for these weights")
    skip: bool = Field(default=False, description="leave the weight as it is")


class Prune(_Section):
    """Pruning by magnitude."""

    method: Literal["magnitude"] = Field(default="magnitude", description="which elements go")
    scope: Scope = Field(
        default="weight",
        description="`global` ranks the elements of all weights together, to the mean of their densities",
    )
    rounds: Annotated[int, Field(ge=1, le=100)] | None = Field(
        default=None,
        description="rounds of pruning a little and retraining behind it, on the way to the density; null takes as many as halve "
        "the survivors, at most 5. Without data there is nothing to retrain with, and one cut is made; a budget search has rounds "
        "of its own",
    )


class Share(_Section):
    """Sharing by one-dimensional k-means."""

    objective: Objective = Field(
        default="error",
        description="`error`: a weight's `bits` are the width of a code, and k-means finds the values. `bits`: they are what a "
        "survivor's Huffman code takes on average, such as 3.7; values are rounded to even steps, as fine as that allows, at most "
        "255 of them. Unset weights of `safe` keep the way of `safe`; not with `budget.max_drop`",
    )
    retrain: bool = Field(
        default=False,
        description="with data, once more for the epochs of the last round: weights are trained while the graph sees their "
        "shared values, and each element takes the nearest one again (docs/fine-tuning.md); not with "
        "`budget.max_drop`",
    )
    init: Init = Field(
        default="linear",
        description="how k-means starts; set explicitly, `safe` keeps to it too",
    )
    iterations: Annotated[int, Field(ge=0, le=100_000)] | None = Field(
        default=None,
        description="Lloyd steps; null runs to convergence. Unset, `safe` takes one",
    )


class Train(_Section):
    """Fine-tuning, where there is data; what is None is chosen by the data's size (training/orders/settings.py)."""

    loss: LossKind = Field(
        default="auto",
        description="what retraining minimises: docs/data.md. `none` retrains nothing",
    )
    epochs: Count | None = Field(
        default=None,
        description="passes over the train part, all rounds together; null is 4,000 steps, at least 16 epochs and at most 100. "
        "Every round has one at least. The centroids are tuned for a quarter of them",
    )
    batch_size: Count | None = Field(default=None, description="samples a step; null is 64")
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0, allow_inf_nan=False)] | None = Field(
        default=None, description="null is 0.001 with `adamw`, 0.01 with `sgd`"
    )
    optimizer: Optimizer = Field(default="adamw", description="which steps are taken")
    schedule: Schedule = Field(
        default="cosine", description="how the rate falls, within each round"
    )
    patience: Count | None = Field(
        default=None,
        description="epochs without a better state after which a round ends; null trains all",
    )
    rate: Annotated[float, Field(ge=0.0, le=1e6, allow_inf_nan=False)] = Field(
        default=0.0,
        description="train for bytes: what the size of the weights, as the model has them, adds to the loss while pruning goes "
        "on; 0.15 did well on the LeNets (docs/fine-tuning.md). Where `prune.rounds` is null there are two rounds at "
        "least, with one epoch each if `train.epochs` is 1; with `prune.rounds` 1 it is refused",
    )
    weight_decay: Annotated[float, Field(ge=0.0, le=10.0, allow_inf_nan=False)] = Field(
        default=0.0,
        description="AdamW's, while weights are retrained: take what the model was trained with; 0 with `sgd`. Centroids have none",
    )
    noise: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)] = Field(
        default=0.0,
        description="share of the elements of every float input that is taken away from a sample while training; 0.2 did well on "
        "the LeNets (docs/fine-tuning.md)",
    )
    shift: Annotated[int, Field(ge=0, le=1024)] = Field(
        default=0,
        description="pictures: the most elements by which a sample is moved along the last two axes of every float input that has "
        "them, while weights are retrained (docs/fine-tuning.md); refused where no input has them",
    )


class Calibrate(_Section):
    """What the preset `small` looks at."""

    samples: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=256, description="of the train part, that the preset `small` looks at"
    )


class Budget(_Section):
    """What compression may cost, and what must come of it: an artifact that misses a gate is kept, and the job fails."""

    metric: MetricKind = Field(default="auto", description="what is measured: docs/data.md")
    max_drop: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None = Field(
        default=None,
        description="search the smallest file whose metric on the eval part drops at most so much; 0.005 is half a point. "
        "Densities and bits that the config sets under `weights` stay",
    )
    min_ratio: Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)] | None = Field(
        default=None,
        description="a gate: the artifact must be so many times smaller; the goal of `small` where `max_drop` is null",
    )
    max_latency_ms: Annotated[float, Field(gt=0.0, le=1e9, allow_inf_nan=False)] | None = Field(
        default=None,
        description="a gate: an inference of the artifact must not take longer",
    )


class Config(_Section):
    """All that a caller decides. Defaults are those of the preset `safe`."""

    preset: Preset = Field(
        default="safe", description="density and codebook of every weight: docs/presets.md"
    )
    output: Output = Field(default="operator", description="what the artifact is")
    seed: Annotated[int, Field(ge=0, lt=2**63)] = Field(
        default=0, description="random initialisation, synthetic inputs, the split of data"
    )
    codec: Codec = Field(
        default="huffman",
        description="how codes and gaps are written where `output` is `operator`. `huffman` loads fastest; `context` looks at "
        "rows, columns and neighbours, is 1 to 7% smaller on pruned weights and takes some 15 times as long to read "
        "(docs/benchmarks.md#codecs); `auto` takes it for each weight where it saves at least 1%. Runtimes from before "
        "it cannot read `context`",
    )
    weights: dict[str, WeightOverride] = Field(
        default_factory=dict, description="by a glob over weight names, what is below"
    )
    prune: Prune = Field(default_factory=Prune)
    share: Share = Field(default_factory=Share)
    train: Train = Field(default_factory=Train)
    calibrate: Calibrate = Field(default_factory=Calibrate)
    budget: Budget = Field(default_factory=Budget)

    @classmethod
    def parse(cls, raw: Any) -> "Config":
        """Check a decoded JSON object.

        Raises:
            UnknownOption: a key that does not exist, or a value that belongs elsewhere.
            BadValue: a value of the wrong type or out of range, or `raw` not an object.
        """
        if not isinstance(raw, dict):
            raise BadValue(f"config: expected a JSON object, found {type(raw).__name__}")
        _refuse_elsewhere(raw)
        try:
            config = cls.model_validate(raw)
        except ValidationError as error:
            _refuse_first(error)
        for glob, override in config.weights.items():
            if override.density is not None and override.threshold is not None:
                raise BadValue(f"config weights.{glob}: give density or threshold, not both")
            if override.bits is not None and config.share.objective == "error":
                _require_whole(glob, override.bits)
        if config.budget.max_drop is not None:
            _require_searchable(config.share)
        return config

    @classmethod
    def parse_json(cls, text: str | bytes) -> "Config":
        """Decode and check JSON text.

        Raises:
            UnknownOption: as `parse`.
            BadValue: as `parse`, or text that is not JSON.
        """
        try:
            raw = json.loads(text, object_pairs_hook=_said_once)
        except (ValueError, RecursionError) as error:
            raise BadValue(f"config: not JSON: {error}") from error
        return cls.parse(raw)

    def as_given(self) -> dict[str, Any]:
        """JSON data that gives the same result again: what was set, and the choices that everybody wants to see.

        Not all defaults: a preset chooses what was not set, and would take a written-out default for the caller's wish.

        >>> Config.parse({"seed": 7}).as_given()
        {'preset': 'safe', 'output': 'operator', 'seed': 7}
        """
        always = {"preset": self.preset, "output": self.output, "seed": self.seed}
        return {**always, **self.model_dump(mode="json", exclude_unset=True)}


def _said_once(members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, each key once: of two values the last would hold, and the first be passed over in silence."""
    found = dict(members)
    if len(found) < len(members):
        names = [name for name, _ in members]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadValue(f"config: the key {twice[:80]!r} is given twice: give it once")
    return found


def _require_searchable(share: Share) -> None:
    reason = (
        "the search for budget.max_drop shares by k-means in many points; leave out one of the two"
    )
    for key, asked in (("objective", share.objective == "bits"), ("retrain", share.retrain)):
        if asked:
            raise BadValue(f"config share.{key}: {reason}")


def _require_whole(glob: str, bits: float) -> None:
    if bits != int(bits):
        raise BadValue(
            f"config weights.{glob}.bits: {bits:g} is no width of a code; give a whole number, or set share.objective 'bits'"
        )


def _refuse_elsewhere(raw: dict[str, Any]) -> None:
    flat: dict[str, Any] = dict(raw)
    for section in ("prune", "share"):
        if isinstance(raw.get(section), dict):
            flat.update({f"{section}.{key}": value for key, value in raw[section].items()})
    for (key, value), reason in ELSEWHERE.items():
        if flat.get(key) == value:
            raise UnknownOption(f"config {key}: {reason}")


_BOUNDS = ("less_than", "less_than_equal", "greater_than", "greater_than_equal")


def _refuse_first(error: ValidationError) -> NoReturn:
    first = error.errors(include_url=False, include_input=True)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        given = [str(part) for part in first["loc"]]
        raise UnknownOption(
            f"config {where}: no such option; see docs/configuration.md.{refusals.meant(Config, given)}"
        ) from error
    number = refusals.unit(str(first["loc"][-1])) if first["type"] in _BOUNDS else ""
    raise BadValue(f"config {where}: {first['msg']}, found {first['input']!r}{number}") from error

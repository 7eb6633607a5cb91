"""The config of a job: one JSON object, checked before anything else is looked at.

Unknown keys are refused, and by name what another part does, so that nobody believes that it was honoured.
"""

import json
from typing import Annotated, Any, Literal, NoReturn, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

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
    """What a glob over weight names sets for the weights it matches; None leaves the preset's choice.

    Whole `bits` unless sharing is for bits.
    """

    density: Density | None = None
    threshold: Threshold | None = None
    bits: Bits | None = None
    init: Init | None = None
    codec: Codec | None = None
    skip: bool = False


class Prune(_Section):
    """Pruning by magnitude; `scope` global ranks the elements of all weights together.

    `rounds` of pruning a little and retraining lead to the density where there is something to retrain with; None takes as
    many as halve the survivors.
    """

    method: Literal["magnitude"] = "magnitude"
    scope: Scope = "weight"
    rounds: Annotated[int, Field(ge=1, le=100)] | None = None


class Share(_Section):
    """Sharing by one-dimensional k-means; `iterations` None runs Lloyd's algorithm to convergence.

    `objective` error takes a weight's `bits` as the width of a code; bits as what a Huffman code may take on average.
    `retrain` lets elements choose another centroid while the model is trained, before the centroids are.
    """

    objective: Objective = "error"
    retrain: bool = False
    init: Init = "linear"
    iterations: Annotated[int, Field(ge=0, le=100_000)] | None = None


class Train(_Section):
    """Fine-tuning, where there is data; what is None is chosen by the data's size (training/orders/settings.py).

    `rate` is what the size of the weights, as the model has them, adds to the loss while pruning goes on: train for bytes.
    `weight_decay` is AdamW's, for weights that are retrained and for biases; centroids have none.
    `noise` is the share of every float input's elements that is taken away from the samples, in retraining and in tuning.
    `shift` is the most elements by which a sample is moved along the last two axes of every float input that has them, in retraining.
    """

    loss: LossKind = "auto"
    epochs: Count | None = None
    batch_size: Count | None = None
    learning_rate: Annotated[float, Field(gt=0.0, le=10.0, allow_inf_nan=False)] | None = None
    optimizer: Optimizer = "adamw"
    schedule: Schedule = "cosine"
    patience: Count | None = None
    rate: Annotated[float, Field(ge=0.0, le=1e6, allow_inf_nan=False)] = 0.0
    weight_decay: Annotated[float, Field(ge=0.0, le=10.0, allow_inf_nan=False)] = 0.0
    noise: Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)] = 0.0
    shift: Annotated[int, Field(ge=0, le=1024)] = 0


class Calibrate(_Section):
    """What the preset `small` looks at: at most so many samples of the train part."""

    samples: Annotated[int, Field(ge=1, le=1_000_000)] = 256


class Budget(_Section):
    """What compression may cost: at most `max_drop` of the metric, a fraction such as 0.005; and what must come of it.

    `min_ratio` (bytes of the model / bytes of the artifact) and `max_latency_ms` (of one inference on one thread) are gates: an
    artifact that misses one is kept, and the job fails. The preset `small` aims at `min_ratio` where there is no `max_drop`.
    """

    metric: MetricKind = "auto"
    max_drop: Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)] | None = None
    min_ratio: Annotated[float, Field(gt=0.0, le=1e6, allow_inf_nan=False)] | None = None
    max_latency_ms: Annotated[float, Field(gt=0.0, le=1e9, allow_inf_nan=False)] | None = None


class Config(_Section):
    """All that a caller decides. Defaults are those of the preset `safe`.

    `codec` writes codes and gaps: huffman, which loads fastest; context, which is smaller; auto, the smaller one of a weight where that is
    worth it. A weight's own `codec` comes before it. Outputs without operators have neither.
    """

    preset: Preset = "safe"
    output: Output = "operator"
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    codec: Codec = "huffman"
    weights: dict[str, WeightOverride] = Field(default_factory=dict)
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
            raw = json.loads(text)
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


def _refuse_first(error: ValidationError) -> NoReturn:
    first = error.errors(include_url=False, include_input=True)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        raise UnknownOption(f"config {where}: no such option; see docs/configuration.md") from error
    raise BadValue(f"config {where}: {first['msg']}, found {first['input']!r}") from error

"""The plan: what is to be done to each weight, decided before anything runs, plain data in and out."""

import dataclasses
import fnmatch
import json
from dataclasses import dataclass, replace

from onnx import ModelProto

from sparsebook_compressor.config import Config, WeightOverride
from sparsebook_compressor.errors import BadValue, NotFinite, NothingToCompress
from sparsebook_compressor.graph.quantised import attribute_holders, quantised_bytes
from sparsebook_compressor.graph.tensors import infinite
from sparsebook_compressor.graph.view import GraphView, Kept, Weight
from sparsebook_compressor.payload_layout import Codec
from sparsebook_compressor.presets import preset
from sparsebook_compressor.setting import Setting
from sparsebook_compressor.stages.levels import Start

PLAN_FORMAT = 1
INFINITE = "holds infinity, which no codebook can share"
"""How the reason begins why such a weight stays as it is: masks of attention mean it, and a product with one gives NaN."""
_OVERRIDDEN = "the config decides"
_MOST_CENTROIDS = 255


@dataclass(frozen=True, slots=True)
class PlanRow:
    """The decision for one weight.

    Attributes:
        name, role, shape, elements: of the weight.
        density: share of elements that survive; None where `threshold` decides or all weights are ranked together.
        threshold: elements of a magnitude up to it are pruned; None where `density` decides.
        centroids: how many shared values there may be besides zero, 1 to 255.
        init, iterations: of k-means; None iterations run to convergence.
        rate: Huffman bits that a survivor's code may take, in place of k-means; None for k-means.
        codec: of codes and gaps.
        why: the rule or override that decided.
    """

    name: str
    role: str
    shape: tuple[int, ...]
    elements: int
    density: float | None
    threshold: float | None
    centroids: int
    init: Start
    iterations: int | None
    codec: Codec
    why: str
    rate: float | None = None

    @property
    def bits(self) -> int:
        """Width of a code: log2 of the codebook's size, zero among it, rounded up."""
        return self.centroids.bit_length()


@dataclass(frozen=True, slots=True)
class Plan:
    """All decisions. `scope` global ranks the elements of all weights together, to the mean of their densities."""

    scope: str
    seed: int
    rows: tuple[PlanRow, ...]
    kept: tuple[Kept, ...]

    def to_json(self) -> str:
        """Serialise; the same plan gives the same text."""
        raw = {"format": PLAN_FORMAT, **dataclasses.asdict(self)}
        return json.dumps(raw, indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        """Read what `to_json` wrote.

        Raises:
            ValueError: another plan format.
        """
        raw = json.loads(text)
        if raw.get("format") != PLAN_FORMAT:
            raise ValueError(f"plan format {raw.get('format')!r}; this version reads {PLAN_FORMAT}")
        rows = tuple(PlanRow(**{**row, "shape": tuple(row["shape"])}) for row in raw["rows"])
        kept = tuple(Kept(**{**row, "shape": tuple(row["shape"])}) for row in raw["kept"])
        return cls(raw["scope"], raw["seed"], rows, kept)

    def table(self) -> str:
        """The plan as a table of plain text, one line a weight."""
        head = ("weight", "role", "shape", "prune to", "bits", "why")
        lines = [head, *(_cells(row) for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
            for line in lines
        )


def make_plan(view: GraphView, config: Config) -> Plan:
    """Decide for every weight: the preset's rule, then the overrides whose glob matches, later ones over earlier.

    Raises:
        BadValue: a glob that matches nothing.
        NotFinite: a weight holds NaN.
        InvalidGraph, ExternalDataMissing, ExternalDataOutside: a weight's bytes cannot be read.
    """
    _require_matches(view, config)
    rows: list[PlanRow] = []
    kept = list(view.kept)
    for weight in view.weights:
        decided = _decision(weight, config)
        if isinstance(decided, PlanRow):
            rows.append(decided)
        else:
            kept.append(decided)
    return Plan(config.prune.scope, config.seed, tuple(rows), tuple(kept))


def _decision(weight: Weight, config: Config) -> PlanRow | Kept:
    """What is to be done to a weight; its elements are in memory no longer than this takes."""
    override = _override(weight.name, config)
    if override.skip:
        return _keep(weight, "the config skips it")
    values = weight.read()
    element = infinite(values, weight.name)
    if element is not None:
        return _keep(weight, f"{INFINITE}: {element}")
    setting = (
        _OVERRIDDEN
        if _decided(override)
        else preset(config.preset, weight, values, config.share, flat=config.output == "portable")
    )
    if isinstance(setting, str) and override == WeightOverride():
        return _keep(weight, setting)
    return _row(weight, setting, override, config)


def _require_matches(view: GraphView, config: Config) -> None:
    """A glob that matches nothing is a slip of the pen, not a wish."""
    names = [weight.name for weight in view.weights]
    known = names + [kept.name for kept in view.kept]
    for glob in config.weights if names else ():
        if not any(matches(glob, name) for name in known):
            raise BadValue(
                f"config weights.{glob}: no weight has such a name; there are {', '.join(names[:5])}"
                f"{' and more' if len(names) > 5 else ''} (sparsebook inspect lists all)"
            )


def matches(glob: str, name: str) -> bool:
    """Whether a glob of the config means a weight: by its very name, or as a case-sensitive pattern."""
    return glob == name or fnmatch.fnmatchcase(name, glob)


def require_work(plan: Plan, name: str, model: ModelProto) -> None:
    """Refuse a plan without weights.

    Args:
        plan: for the model.
        name: of the model.
        model: itself.

    Raises:
        NotFinite: there would be weights if they did not hold infinity.
        NothingToCompress: naming the model, with the reasons why its constants were left alone.
    """
    if plan.rows:
        return
    infinite_one = next((kept for kept in plan.kept if kept.reason.startswith(INFINITE)), None)
    if infinite_one is not None:
        raise NotFinite(
            f"{name}: no weight to compress: {infinite_one.name!r} {infinite_one.reason}; mend the model"
        )
    quantised = quantised_bytes(model)
    if quantised > sum(kept.bytes for kept in plan.kept):
        raise NothingToCompress(
            f"{name}: no weight to compress: the model is quantised already, {quantised:,} bytes of its constants are whole numbers "
            "of eight bits or fewer; compress the model of floats that it was made from"
        )
    reasons = sorted({kept.reason for kept in plan.kept})
    holders = attribute_holders(model)
    if holders:
        reasons.append(f"numbers in attributes of {', '.join(holders)} stay as they are")
    found = "; ".join(reasons[-4:]) if reasons else "it has no float constants at all"
    raise NothingToCompress(
        f"{name}: no weight to compress ({found}); sparsebook inspect shows every tensor"
    )


def _override(name: str, config: Config) -> WeightOverride:
    """All matching overrides laid over each other in the order in which they are written."""
    merged: dict[str, object] = {}
    for glob, override in config.weights.items():
        if matches(glob, name):
            given = override.model_dump(exclude_unset=True)
            if "density" in given or "threshold" in given:
                merged.pop("density", None)
                merged.pop("threshold", None)
            merged.update(given)
    return WeightOverride.model_validate(merged)


def _decided(override: WeightOverride) -> bool:
    """Whether an override leaves the preset nothing to decide."""
    pruned = override.density is not None or override.threshold is not None
    return pruned and override.bits is not None


def _row(
    weight: Weight, setting: Setting | str, override: WeightOverride, config: Config
) -> PlanRow:
    """An override that sets density or bits takes the config's way to share: the preset's was chosen for the preset's own."""
    share = config.share
    if isinstance(setting, str):
        setting = Setting(1.0, 255, share.init, share.iterations, "no preset rule")
    changed = override != WeightOverride()
    resized = not (override.density is override.threshold is override.bits is None)
    if resized:
        setting = replace(setting, init=share.init, iterations=share.iterations)
    density = setting.density if override.density is None else override.density
    centroids = setting.centroids if override.bits is None else (1 << int(override.bits)) - 1
    rate = _rate(centroids, override, config)
    return PlanRow(
        name=weight.name,
        role=weight.role,
        shape=weight.shape,
        elements=weight.elements,
        density=None if override.threshold is not None else density,
        threshold=override.threshold,
        centroids=centroids if rate is None else _MOST_CENTROIDS,
        init=override.init or setting.init,
        iterations=setting.iterations,
        # Other outputs have no payloads: they would be coded slowly for nothing.
        codec=(override.codec or config.codec) if config.output == "operator" else "huffman",
        why="overridden" if resized else f"{setting.why}, overridden" if changed else setting.why,
        rate=rate,
    )


def _rate(centroids: int, override: WeightOverride, config: Config) -> float | None:
    """Bits that sharing is for. What `safe` decides is an error, whatever it costs."""
    if config.share.objective == "error":
        return None
    if override.bits is not None:
        return float(override.bits)
    return float(centroids.bit_length()) if config.preset == "paper" else None


def _keep(weight: Weight, reason: str) -> Kept:
    return Kept(weight.name, weight.shape, weight.stored_bytes, reason)


def _cells(row: PlanRow) -> tuple[str, ...]:
    cut = f"|w| > {row.threshold:g}" if row.density is None else f"{row.density:.1%}"
    shape = "x".join(map(str, row.shape))
    bits = str(row.bits) if row.rate is None else f"{row.rate:g} of Huffman"
    return (row.name, row.role, shape, cut, bits, row.why)

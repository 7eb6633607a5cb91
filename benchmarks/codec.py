"""The codecs: bytes against the zero-order entropy and against NNCodec on the same codes, seconds to encode, elements a second decoded.

    .venv/bin/python -m benchmarks.codec [--density 0.1] [--only real|paper] [--quick]

`real` are all weights of the models that packages install and of the trained LeNets, pruned to one density and shared by k-means to 5 bits;
`paper` are AlexNet and VGG-16, synthetic weights at the paper's densities and bits. Bytes are whole payloads, headers, codebooks and tables among
them; NNCodec's are its coder's with the same codebook beside them, and nothing for headers. Encoding is timed by the CPU time of the process,
decoding by the C++ reader's, on one core, over weights of at least 262,144 elements.
"""

import argparse
import dataclasses
import sys
from collections.abc import Sequence

from benchmarks.codec_runs import SEED, Row, built_rows, real_rows, summed
from benchmarks.results import show, write

COLUMNS = (
    "model",
    "weights",
    "elements",
    "entropy",
    "Huffman",
    "context",
    "auto",
    "NNCodec",
    "auto / entropy",
    "auto / NNCodec",
    "prune, share, Huffman: M/s",
    "prune, share, context: M/s",
    "read Huffman: M/s",
    "read context: M/s",
)
# What is asked for, and what is aimed at.
BARS = {
    "real": {"auto / NNCodec": (1.00, 0.95), "auto / entropy": (0.98, 0.93)},
    "paper": {"auto / entropy": (1.03, 1.01)},
}


def main() -> None:
    """Measure, print the table, write the JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--density", type=float, default=0.1, help="of the real models' weights")
    parser.add_argument("--only", choices=tuple(BARS), action="append")
    parser.add_argument("--quick", action="store_true", help="of the paper's two AlexNet alone")
    arguments = parser.parse_args()
    found: dict[str, list[Row]] = {}
    for kind in arguments.only or BARS:
        found[kind] = []
        built = [built_rows(name) for name in ("alexnet", "vgg16")[: 1 if arguments.quick else 2]]
        for source in [real_rows(arguments.density)] if kind == "real" else built:
            for row in source:
                found[kind].append(row)
                print(row.model, row.weight, row.elements, row.bytes, file=sys.stderr)
    table, verdicts = [], []
    for kind, rows in found.items():
        models = list(dict.fromkeys(row.model for row in rows))
        parts = [[row for row in rows if row.model == model] for model in models]
        table += [
            _cells(summed(part, model), len(part))
            for model, part in zip(models, parts, strict=True)
        ]
        whole = summed(rows, f"all of {kind}")
        table.append(_cells(whole, len(rows)))
        verdicts += _verdicts(kind, whole)
    show("Payloads: bytes, and million elements a second and core", COLUMNS, table)
    show("What was asked", ("what", "found", "asked", "aim"), verdicts)
    results = [dataclasses.asdict(row) for part in found.values() for row in part]
    facts = {"seed": SEED, "density": arguments.density, "bars": verdicts}
    complete = not (arguments.only or arguments.quick)
    print("written:", write("codec", results, whole=complete, **facts))


def _ratios(row: Row) -> dict[str, float]:
    ratios = {"auto / entropy": row.bytes["auto"] / max(1e-9, row.entropy)}
    if "nncodec" in row.bytes:
        ratios["auto / NNCodec"] = row.bytes["auto"] / row.bytes["nncodec"]
    return ratios


def _verdicts(kind: str, whole: Row) -> list[tuple[str, ...]]:
    ratios = _ratios(whole)
    found = [
        (f"{kind}: {what}", f"{ratios[what]:.4f}", f"{must:.2f}", f"{aim:.2f}")
        for what, (must, aim) in BARS[kind].items()
    ]
    read = whole.decode["elements"] / whole.decode["context"] / 1e6
    written = whole.elements / (whole.seconds["share"] + whole.seconds["huffman"]) / 1e6
    return [
        *found,
        (f"{kind}: read by context, M elements/s and core", f"{read:.0f}", "50", "300"),
        (
            f"{kind}: prune, share and encode with Huffman, M elements/s and core",
            f"{written:.1f}",
            "5",
            "20",
        ),
    ]


def _cells(row: Row, weights: int) -> Sequence[str]:
    def speed(codec: str) -> str:
        return f"{row.elements / (row.seconds['share'] + row.seconds[codec]) / 1e6:.1f}"

    def read(codec: str) -> str:
        return f"{row.decode['elements'] / row.decode[codec] / 1e6:.0f}" if row.decode else ""

    ratios = _ratios(row)
    return (
        row.model,
        str(weights),
        f"{row.elements:,}",
        f"{row.entropy:,.0f}",
        *(f"{row.bytes[codec]:,}" for codec in ("huffman", "context", "auto")),
        f"{row.bytes['nncodec']:,}" if "nncodec" in row.bytes else "",
        f"{ratios['auto / entropy']:.4f}",
        f"{ratios['auto / NNCodec']:.4f}" if "auto / NNCodec" in ratios else "",
        speed("huffman"),
        speed("context"),
        read("huffman"),
        read("context"),
    )


if __name__ == "__main__":
    main()

"""Options and arguments that several commands have, or that are long to describe."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

Model: TypeAlias = Annotated[
    Path, typer.Argument(help="An .onnx file, its external data beside it.", metavar="MODEL")
]
ConfigFile: TypeAlias = Annotated[
    Path | None,
    typer.Option("--config", help="A JSON file with the whole config; options win over it."),
]
Preset: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="safe|paper|small",
        help="**safe** (default) keeps outputs close without retraining; **paper** uses the densities and bits of "
        "Deep Compression, which want retraining; **small** looks at inputs (**--data**, without labels; else made-up ones) and "
        "spends bits where they matter: much smaller, in minutes, without retraining.",
    ),
]
Codec: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--codec",
        metavar="huffman|context|auto",
        help="How codes are written: **huffman** (default) loads fastest; **context** is 1 to 7% smaller and loads "
        "slower; **auto** takes it for each weight where it saves 1%.",
    ),
]
Seed: TypeAlias = Annotated[
    int | None, typer.Option("--seed", help="The same seed gives the same bytes. Default 0.")
]
ApiKey: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="SPARSEBOOK_API_KEY",
        metavar="KEY",
        help="For the server, where it asks for one. Better in the variable: other users see command lines.",
    ),
]
Deadline: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--deadline",
        metavar="SECONDS",
        help="With --server: the job fails if it has not ended by then, waiting included.",
    ),
]
Webhook: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--webhook", metavar="URL", help="With --server: it posts the job's end there, signed."
    ),
]
Push: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--push",
        metavar="s3://…",
        help="With --server: it copies the bundle's files there too, where it may.",
    ),
]
IdempotencyKey: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--idempotency-key",
        metavar="KEY",
        help="With --server: run again with the same key and files, this takes up the same job.",
    ),
]
AsJson: TypeAlias = Annotated[
    bool, typer.Option("--json", help="Print JSON on standard output, nothing else.")
]


Data: TypeAlias = Annotated[
    list[Path] | None,
    typer.Option(
        "--data",
        metavar="F.npz",
        help="One array for each input of the model, samples on the first axis, and `labels` where there are some. Several files "
        "continue each other.",
    ),
]
Loss: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--loss",
        metavar="F.onnx",
        help="A small graph over the outputs and the data's arrays that gives a scalar to train for.",
    ),
]
Metric: TypeAlias = Annotated[
    Path | None,
    typer.Option("--metric", metavar="F.onnx", help="Likewise, a scalar to measure by."),
]
Patience: TypeAlias = Annotated[
    float,
    typer.Option(
        "--patience",
        min=0,
        metavar="SECONDS",
        help="How long to try again while the service cannot be reached, or is not ready; 0 tries once.",
    ),
]
MinRatio: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--min-ratio",
        metavar="X",
        help="A gate: exit status 3 where the artifact is not so many times smaller. The bundle is there all the same.",
    ),
]
MaxLatency: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--max-latency",
        metavar="MS",
        help="A gate: exit status 3 where an inference on one thread takes longer, on the machine that compresses.",
    ),
]
Base: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        "--base",
        metavar="ARTIFACT",
        help="The last release's model.onnx, or its bundle: weights keep its codebooks and codes where that is as good, and the "
        "bundle has an update from it to ship.",
    ),
]

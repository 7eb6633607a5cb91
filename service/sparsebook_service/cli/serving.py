"""`sparsebook serve` and `sparsebook worker`: the processes that stay."""

from pathlib import Path
from typing import Annotated

import typer

from sparsebook_compressor.errors import BadValue


def serve_command(
    host: Annotated[
        str | None, typer.Option("--host", help="Address to listen on. Default 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port; 0 takes a free one. Default 8080.")
    ] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="Where jobs and files are kept. Default sparsebook-data."),
    ] = None,
    access: Annotated[
        str | None,
        typer.Option(
            "--access",
            metavar="loopback|keys|anyone",
            help="Who is served: **loopback** (default) this machine alone, without keys; **keys** whoever has an "
            "API key; **anyone** whoever reaches the address.",
        ),
    ] = None,
) -> None:
    """Run the HTTP service. Settings come from SPARSEBOOK_… variables too; docs/http.md lists them.

    Example: `sparsebook serve --port 8080 --data-dir /var/lib/sparsebook`
    """
    # Three seconds of imports that no other command needs.
    from sparsebook_service import server, settings  # noqa: PLC0415

    server.run(settings.load(host=host, port=port, data_dir=data_dir, access=access))


def worker_command(
    queue: Annotated[
        str,
        typer.Option(
            "--queue",
            help="The queue to work on: finetune or compress.",
            metavar="finetune|compress",
        ),
    ] = "finetune",
    data_dir: Annotated[
        Path | None,
        typer.Option("--data-dir", help="That of the service. Default sparsebook-data."),
    ] = None,
) -> None:
    """Run trainings that a service on the same data folder or database asks for, or jobs of a shared database.

    `serve` starts one worker for trainings, and runs jobs, by itself; docs/scaling.md tells of more hosts.

    Examples:
    * `sparsebook worker --queue finetune --data-dir /var/lib/sparsebook`
    * `SPARSEBOOK_DATABASE_URL=postgresql://… SPARSEBOOK_STORAGE=s3://… sparsebook worker --queue compress`
    """
    if queue not in {"finetune", "compress"}:
        raise BadValue(f"--queue {queue!r}: the queues are finetune and compress")
    # Three seconds of imports that no other command needs.
    from sparsebook_service import leaving, settings  # noqa: PLC0415
    from sparsebook_service.finetune import worker as trainings  # noqa: PLC0415
    from sparsebook_service.jobs import worker as jobs  # noqa: PLC0415

    worker = jobs if queue == "compress" else trainings
    worker.work(settings.load(data_dir=data_dir))
    leaving.leave()

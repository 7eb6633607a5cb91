"""The settings of the service, from the environment (`SPARSEBOOK_…`) and the command line.

What each is for is said here, in the words of docs/http.md, whose table is made of this model.
"""

import base64
import ipaddress
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from sparsebook_compressor.errors import BadValue
from sparsebook_service import signing
from sparsebook_service.hosts import machine
from sparsebook_service.places import PLACE

PREFIX = "SPARSEBOOK_"
KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
# A process that is silent for so long is lost, and its work goes to others.
LOST_SECONDS = 15.0
MAX_DEADLINE_SECONDS = 366 * 86_400

Access: TypeAlias = Literal["loopback", "keys", "anyone"]

_POSTGRES = ("postgresql://", "postgres://")


def _trainer_python() -> Path:
    """The Python of the environment that `make .venv-trainer` puts beside the product's own."""
    return Path(sys.prefix).parent / ".venv-trainer" / "bin" / "python"


def _three_quarters_of_memory() -> int:
    """So that a file which asks for all of it is refused before the machine runs out."""
    return max(GIB, machine.memory_bytes() // 4 * 3)


def _existing_folder(path: Path | None) -> Path | None:
    if path is not None and not path.is_dir():
        raise ValueError("there is no such folder; `make platforms` makes build/platforms")
    return None if path is None else path.absolute()


def _parts(given: Any) -> Any:
    return (
        [part.strip() for part in given.split(",") if part.strip()]
        if isinstance(given, str)
        else given
    )


def _signing(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None:
        try:
            key = base64.b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True)
        except ValueError as error:
            raise ValueError("must be whsec_ and base64") from error
        if len(key) < 24:
            raise ValueError("is too short: 24 bytes at least, in base64, after whsec_")
    return secret


def _signing_key(path: Path | None) -> Path | None:
    if path is not None:
        signing.private_key(path)
    return None if path is None else path.absolute()


def _postgres_url(url: str | None) -> str | None:
    if url is None:
        return None
    start = next((start for start in _POSTGRES if url.startswith(start)), None)
    if start is None:
        raise ValueError(
            "a database is postgresql://USER:PASSWORD@HOST:PORT/NAME; unset, it is SQLite"
        )
    return _POSTGRES[0] + url.removeprefix(start)


def _s3_url(url: str | None) -> str | None:
    if url is not None and PLACE.fullmatch(url) is None:
        raise ValueError("a storage is s3://BUCKET or s3://BUCKET/PREFIX; unset, it is a folder")
    return url


def _bucket(url: str) -> str:
    if PLACE.fullmatch(url) is None:
        raise ValueError("each is s3://BUCKET or s3://BUCKET/PREFIX")
    return url.rstrip("/")


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Bucket = Annotated[str, AfterValidator(_bucket)]


class Settings(BaseSettings):
    """All that an operator decides. Sizes are in bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, validate_default=True)

    data_dir: Annotated[
        Path, AfterValidator(Path.absolute), Field(description="where jobs and files are kept")
    ] = Path("sparsebook-data")
    host: Annotated[str, Field(description="address to listen on")] = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535, description="port; 0 takes a free one")] = 8080
    access: Annotated[
        Access,
        Field(
            description="who is served: `loopback` this machine alone, without keys; `keys` whoever has an API key; "
            "`anyone` whoever reaches the address (docs/keys.md)"
        ),
    ] = "loopback"
    database_url: Annotated[
        str | None,
        AfterValidator(_postgres_url),
        Field(
            repr=False,
            description="`postgresql://USER:PASSWORD@HOST:PORT/NAME`, which hosts share (docs/scaling.md); without, SQLite in "
            "the data folder",
        ),
    ] = None
    storage: Annotated[
        str | None,
        AfterValidator(_s3_url),
        Field(
            description="`s3://BUCKET/PREFIX`, which hosts share; credentials, region and endpoint come from the usual `AWS_…` "
            "variables; without, a folder in the data folder"
        ),
    ] = None
    serve_jobs: Annotated[
        bool,
        Field(
            description="whether `serve` runs jobs itself; off, `sparsebook worker --queue compress` must"
        ),
    ] = True
    worker_metrics_port: Annotated[
        int | None,
        Field(
            ge=0,
            le=65535,
            description="port on SPARSEBOOK_HOST at which `sparsebook worker`, of either queue, shows the metrics of what it runs; none by default",
        ),
    ] = None
    host_lost_seconds: Annotated[
        float,
        Field(
            ge=3,
            le=50,
            description="the work of a process that has been silent for so long goes to others",
        ),
    ] = LOST_SECONDS
    memory_bytes: Annotated[
        int,
        Field(
            default_factory=lambda: machine.memory_bytes() * 8 // 10,
            ge=MIB,
            description="memory that jobs, or trainings, may use together on this host, by their estimates; by default four fifths of the machine's",
        ),
    ]
    workers: Annotated[
        int,
        Field(
            default_factory=lambda: max(2, machine.processors()),
            ge=1,
            le=256,
            description="jobs that run at once on this host; by default one a processor, two at least",
        ),
    ]
    max_upload_bytes: Annotated[
        int,
        Field(ge=1, description="largest model with its external data, and content of a .zip"),
    ] = 4 * GIB
    max_data_bytes: Annotated[
        int, Field(ge=1, description="most that the `data` parts of a job may have together")
    ] = 16 * GIB
    max_data_files: Annotated[int, Field(ge=1, description="most `data` parts of a job")] = 1000
    max_pending_bytes: Annotated[
        int,
        Field(ge=1, description="most that uploads which wait for their job may have together"),
    ] = 64 * GIB
    pending_share: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="part of it that the uploads of one API key may have; room for one of the largest there is in any case",
        ),
    ] = 0.25
    upload_idle_seconds: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="an upload that is not whole is removed so long after its last byte",
        ),
    ] = 3600
    body_idle_seconds: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="a body of which nothing comes for so long is not waited for",
        ),
    ] = 60
    header_seconds: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="a connection on which no request has begun for so long is closed",
        ),
    ] = 30
    upload_expiry_seconds: Annotated[
        int, Field(ge=1, description="an upload is removed so long after it was begun")
    ] = 24 * 3600
    max_graph_bytes: Annotated[int, Field(ge=1, description="largest `loss` or `metric` graph")] = (
        16 * MIB
    )
    min_free_bytes: Annotated[
        int, Field(ge=0, description="below this much free disk new jobs are refused")
    ] = 512 * MIB
    max_stored_bytes: Annotated[
        int | None,
        Field(
            ge=1,
            description="with more kept for all jobs together new ones are refused",
        ),
    ] = None
    retention_days: Annotated[
        float | None,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="jobs are forgotten so long after their end, also a fraction of a day; never where it is unset",
        ),
    ] = None
    job_deadline_seconds: Annotated[
        float | None,
        Field(
            gt=0,
            le=MAX_DEADLINE_SECONDS,
            allow_inf_nan=False,
            description="most that a job may take from its acceptance to its end, waiting included",
        ),
    ] = None
    zip_max_ratio: Annotated[
        int, Field(ge=1, description="largest content : size of a .zip of more than 16 MiB content")
    ] = 200
    job_address_space_bytes: Annotated[
        int,
        Field(
            default_factory=_three_quarters_of_memory,
            ge=GIB,
            description="address space of a job's process and of a trainer on the CPU (RLIMIT_AS); by default three quarters of the machine's memory",
        ),
    ]
    job_cpu_seconds: Annotated[
        int | None, Field(ge=1, description="processor time of a job (RLIMIT_CPU)")
    ] = None
    job_file_bytes: Annotated[
        int | None,
        Field(
            ge=MIB,
            description="largest file a job or a trainer may write (RLIMIT_FSIZE)",
        ),
    ] = None
    serve_worker: Annotated[
        bool,
        Field(
            description="whether `serve` starts a fine-tuning worker of its own, "
            "where the trainer's environment is there"
        ),
    ] = True
    trainings: Annotated[
        int,
        Field(
            default_factory=lambda: max(1, machine.processors() // 2),
            ge=1,
            le=256,
            description="trainings that a fine-tuning worker runs at once; by default half the processors",
        ),
    ]
    trainer_python: Annotated[
        Path,
        AfterValidator(Path.absolute),
        Field(
            default_factory=_trainer_python,
            description="the trainer's Python; by default `.venv-trainer/bin/python` beside the product's environment",
        ),
    ]
    trainer_device: Annotated[
        Literal["auto", "cpu", "cuda"],
        Field(
            description="what is trained on: `cpu`, `cuda`, or `auto`, which takes CUDA where there is a GPU"
        ),
    ] = "auto"
    runtimes: Annotated[
        Path | None,
        AfterValidator(_existing_folder),
        Field(
            description="folder with operator libraries for more platforms than this machine's, as `make platforms` fills it; "
            "they are handed out and go into bundles"
        ),
    ] = None
    webhook_secret: Annotated[
        SecretStr | None,
        AfterValidator(_signing),
        Field(
            description="what webhooks are signed with: `whsec_` and 24 to 64 random bytes in base64; without it none are accepted"
        ),
    ] = None
    webhook_allow: Annotated[
        tuple[Network, ...],
        NoDecode,
        BeforeValidator(_parts),
        Field(
            description="addresses or networks, with commas between, that webhooks may go to although they are not public"
        ),
    ] = ()
    webhook_pauses: Annotated[
        tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...],
        NoDecode,
        BeforeValidator(_parts),
        Field(description="seconds between the attempts to deliver a webhook, with commas between"),
    ] = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
    webhook_timeout_seconds: Annotated[
        float, Field(gt=0, le=300, description="for one attempt to deliver a webhook")
    ] = 15
    sources: Annotated[
        tuple[Bucket, ...],
        NoDecode,
        BeforeValidator(_parts),
        Field(
            description="`s3://BUCKET` or `s3://BUCKET/PREFIX`, with commas between, from where models may be taken (`?source=`)"
        ),
    ] = ()
    destinations: Annotated[
        tuple[Bucket, ...],
        NoDecode,
        BeforeValidator(_parts),
        Field(description="likewise, to where artifacts may be pushed (`?push=`)"),
    ] = ()
    signing_key: Annotated[
        Path | None,
        AfterValidator(_signing_key),
        Field(
            description="file with the Ed25519 key (PEM) that bundles are signed with; without it they are not"
        ),
    ] = None
    log_format: Annotated[
        Literal["auto", "console", "json"],
        Field(description="`auto`: `console` on a terminal, `json` elsewhere"),
    ] = "auto"
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(
            description="the least severe level that is logged: `debug`, `info`, `warning`, `error`"
        ),
    ] = "info"

    @property
    def database_file(self) -> Path:
        """The SQLite file with the jobs and the state of the queue."""
        return self.data_dir / "sparsebook.sqlite"

    @property
    def store_dir(self) -> Path:
        """The root of the file storage."""
        return self.data_dir / "files"

    @property
    def work_dir(self) -> Path:
        """Where running jobs write; emptied at every start."""
        return self.data_dir / "work"


def load(**overrides: Any) -> Settings:
    """Read the environment; `overrides` that are not None win.

    Raises:
        BadValue: a setting of the wrong type or out of range.
    """
    given = {name: value for name, value in overrides.items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = "_".join(str(part) for part in first["loc"]).upper()
        # What names a database holds its password.
        found = "" if name == "DATABASE_URL" else f", found {first['input']!r}"
        raise BadValue(f"{PREFIX}{name}: {first['msg']}{found}") from error

"""The client's side: sends a file piece by piece, and remembers where, so that another call can go on."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

import httpx
from pydantic import ValidationError
from resumable_upload import FileURLStorage, Fingerprint, TusClient
from resumable_upload.exceptions import TusCommunicationError, TusUploadFailed

from sparsebook_service.schemas import Problem

PIECE_BYTES = 4 << 20
# With pauses that double: a service that is started again is back by then.
RETRIES = 8
PAUSE_SECONDS = 0.5
TIMEOUT_SECONDS = 90.0
# Those of the connection, which is another one here.
_OWN = frozenset({"accept", "accept-encoding", "connection", "user-agent", "host"})


class Refused(Exception):
    """The service has answered with a problem."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class _OfService:
    """The same file goes to another service as another upload."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.last = ""

    # What the package calls.
    def get_fingerprint(self, file_source: object) -> str:
        self.last = f"{self._url} {Fingerprint().get_fingerprint(file_source)}"
        return self.last


def notes() -> Path:
    """The file in which unfinished uploads are remembered: below XDG_CACHE_HOME, or ~/.cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(cache) / "sparsebook" / "uploads.json"


@dataclass(frozen=True, slots=True)
class Sent:
    """An upload that is whole; `note` is under what it is remembered here."""

    id: str
    note: str

    def forget(self) -> None:
        """Remember it no more: the same file is sent anew the next time."""
        FileURLStorage(str(notes())).remove_url(self.note)


def send(url: str, path: Path, headers: dict[str, str]) -> Sent:
    """Send a file, from where an earlier call has left off.

    Args:
        url: of the service.
        path: of the file.
        headers: to send along, such as a key.

    Returns:
        The finished upload.

    Raises:
        httpx.TransportError: the service is gone, and stays gone.
        Refused: it refuses the upload.
    """
    notes().parent.mkdir(parents=True, exist_ok=True)
    of_service = _OfService(url)
    client = TusClient(
        f"{url}/uploads",
        chunk_size=PIECE_BYTES,
        checksum=True,
        store_url=True,
        url_storage=FileURLStorage(str(notes())),
        fingerprinter=of_service,
        headers={name: value for name, value in headers.items() if name.lower() not in _OWN},
        max_retries=RETRIES,
        retry_delay=PAUSE_SECONDS,
        timeout=TIMEOUT_SECONDS,
    )
    try:
        found: str = client.upload_file(str(path), metadata={"filename": path.name})
    except (TusCommunicationError, TusUploadFailed) as error:
        raise _understood(error) from error
    except OSError as error:
        raise httpx.TransportError(str(error)) from error
    return Sent(found.rstrip("/").rsplit("/", 1)[-1], of_service.last)


def _understood(error: TusCommunicationError) -> Exception:
    """What the package makes of an answer, taken apart again."""
    content, cause = error.response_content, error.__cause__
    if isinstance(cause, HTTPError):
        content = cause.read()
    elif error.status_code is None:
        return httpx.TransportError(str(error))
    try:
        return Refused(Problem.model_validate_json(content or b""))
    except ValidationError:
        return httpx.RemoteProtocolError(str(error))

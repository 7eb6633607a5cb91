"""A file on its way from the service: what has arrived, and how to ask for the rest when the connection breaks."""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import httpx

from sparsebook_service.jobs.schemas import ResultFile
from sparsebook_service.names import fault
from sparsebook_service.talking.faults import Refused, Unreachable, may_pass

_RANGE = re.compile(r"bytes (\d+)-\d+/\d+")
# A file that arrives damaged is fetched once more from its beginning.
ATTEMPTS = 2


class Download:
    """A file of a bundle, written into `target` as it comes. It goes through several stretches: answers that bring some of it."""

    def __init__(self, url: str, file: ResultFile, target: IO[bytes]) -> None:
        """Args: url: of the service, for messages."""
        self._url = url
        self._file = file
        self._target = target
        self._attempts = 1
        self._restart()

    def _restart(self) -> None:
        self._target.seek(0)
        self._target.truncate()
        self._digest = hashlib.sha256()
        self._arrived = self._before = 0

    def request(self) -> dict[str, Any]:
        """What asks for the rest; for the whole again, should the file have changed."""
        headers = {"Accept-Encoding": "identity"}
        if self._arrived:
            headers |= {"Range": f"bytes={self._arrived}-", "If-Range": f'"{self._file.sha256}"'}
        return {"method": "GET", "url": self._file.href, "headers": headers}

    def begin(self, answer: httpx.Response) -> None:
        """Begin a stretch.

        Raises:
            Refused: the answer is an error.
            Unreachable: it brings another part than was asked for.
        """
        if answer.is_error:
            raise Refused(answer)
        if answer.status_code != 206:
            self._restart()
        else:
            part = _RANGE.fullmatch(answer.headers.get("content-range", ""))
            if part is None or int(part[1]) != self._arrived:
                raise Unreachable(f"{self._url} sends another part of {self._file.name} than asked")
        self._before = self._arrived

    def take(self, chunk: bytes) -> None:
        """Take what comes next.

        Raises:
            Unreachable: there is more than there should be.
        """
        self._digest.update(chunk)
        self._target.write(chunk)
        self._arrived += len(chunk)
        if self._arrived > self._file.bytes:
            raise Unreachable(f"{self._url} sends more of {self._file.name} than the job says")

    @contextlib.contextmanager
    def stretch(self) -> Iterator[None]:
        """Let a stretch end early that has brought something: the next one goes on there.

        Raises:
            httpx.TransportError, Unreachable: it has brought nothing.
        """
        try:
            yield
        except httpx.TransportError as error:
            if not may_pass(error) or self._arrived == self._before:
                raise
        if self._arrived == self._before and self._arrived < self._file.bytes:
            raise Unreachable(f"{self._url} does not send the rest of {self._file.name}")

    def whole(self) -> bool:
        """Whether all of it is there.

        Raises:
            Unreachable: it arrived damaged, again and again.
        """
        if self._arrived < self._file.bytes:
            return False
        if self._digest.hexdigest() == self._file.sha256:
            return True
        if self._attempts == ATTEMPTS:
            raise Unreachable(f"{self._file.name} arrived damaged from {self._url}; try again")
        self._attempts += 1
        self._restart()
        return False


def place(url: str, file: ResultFile, folder: Path) -> Path:
    """Where a file goes in a folder.

    Raises:
        Unreachable: its name leads out of it.
    """
    if fault(file.name) is not None:
        raise Unreachable(f"{url} offers a file under the bad name {file.name!r}")
    target = folder / file.name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target

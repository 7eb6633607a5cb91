"""A multipart/form-data body as a stream of parts, none of it spooled.

python-multipart parses; this turns its callbacks into asynchronous iteration. A part must be consumed before the next
one is asked for; what is left of it is skipped.
"""

from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from sparsebook_compressor.errors import TooLarge
from sparsebook_service.errors import MalformedRequest


@dataclass(frozen=True, slots=True)
class _Begin:
    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class _Data:
    chunk: bytes


@dataclass(frozen=True, slots=True)
class _End:
    pass


_Event = _Begin | _Data | _End


class _Events:
    """Feeds the parser and yields what it has found."""

    def __init__(self, boundary: bytes, body: AsyncIterator[bytes]) -> None:
        self._body = body
        self._found: deque[_Event] = deque()
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._complete = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._headers.clear,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": lambda data, start, end: self._found.append(_Data(data[start:end])),
                "on_part_end": lambda: self._found.append(_End()),
                "on_end": self._on_end,
            },
        )

    async def next(self) -> _Event | None:
        """The next event; None after the last."""
        while not self._found:
            chunk = await anext(self._body, None)
            if chunk is None:
                if not self._complete:
                    raise MalformedRequest("the multipart body ends before its last boundary")
                return None
            try:
                self._parser.write(chunk)
            except FormParserError as error:
                raise MalformedRequest(f"the multipart body is malformed: {error}") from error
        return self._found.popleft()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name, self._header_value = b"", b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in options:
            raise MalformedRequest("a part of the multipart body has no name")
        filename = options.get(b"filename")
        self._found.append(
            _Begin(_text(options[b"name"]), None if filename is None else _text(filename))
        )

    def _on_end(self) -> None:
        self._complete = True


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise MalformedRequest("a name in the multipart body is not UTF-8") from error


class FormPart:
    """One part: a name, a file name where it has one, and its bytes."""

    def __init__(self, begin: _Begin, events: _Events) -> None:
        self.name = begin.name
        self.filename = begin.filename
        self._events = events
        self._ended = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes as they arrive."""
        while not self._ended:
            event = await self._events.next()
            if isinstance(event, _Data):
                yield event.chunk
            else:
                self._ended = True

    async def read(self, limit: int) -> bytes:
        """All bytes at once.

        Raises:
            TooLarge: more than `limit` bytes.
        """
        content = bytearray()
        async for chunk in self.chunks():
            content += chunk
            if len(content) > limit:
                raise TooLarge(f"the part {self.name!r} is larger than {limit} bytes")
        return bytes(content)


async def parts(content_type: str, body: AsyncIterator[bytes]) -> AsyncIterator[FormPart]:
    """Iterate over the parts of a body.

    Args:
        content_type: of the request, with the boundary.
        body: the request's bytes.

    Raises:
        MalformedRequest: the body breaks the format or ends early.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise MalformedRequest("the Content-Type has no boundary; let the HTTP client set it")
    try:
        events = _Events(boundary, body)
    except FormParserError as error:
        raise MalformedRequest(str(error)) from error
    while (event := await events.next()) is not None:
        if isinstance(event, _Begin):
            part = FormPart(event, events)
            yield part
            async for _ in part.chunks():
                pass

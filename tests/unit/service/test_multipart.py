import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sparsebook_compressor.errors import TooLarge
from sparsebook_service.errors import MalformedRequest
from sparsebook_service.intake import multipart

TYPE = "multipart/form-data; boundary=sep"


def body(*parts: tuple[str, bytes]) -> bytes:
    return (
        b"".join(
            b"--sep\r\nContent-Disposition: form-data; "
            + head.encode()
            + b"\r\n\r\n"
            + content
            + b"\r\n"
            for head, content in parts
        )
        + b"--sep--\r\n"
    )


async def pieces(content: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def read(content: bytes, size: int = 1 << 20, content_type: str = TYPE) -> list[tuple[object, ...]]:
    async def collect() -> list[tuple[object, ...]]:
        return [
            (part.name, part.filename, await part.read(1 << 20))
            async for part in multipart.parts(content_type, pieces(content, size))
        ]

    return asyncio.run(collect())


@given(content=st.binary(max_size=300), size=st.integers(1, 70))
def test_parts_are_the_same_however_they_arrive(content: bytes, size: int) -> None:
    sent = body(('name="a"; filename="é/w x.bin"', content), ('name="config"', b"{}"))
    assert read(sent, size) == [("a", "é/w x.bin", content), ("config", None, b"{}")]


def test_what_is_not_read_is_skipped() -> None:
    async def names() -> list[str]:
        sent = body(('name="a"', b"x" * 5000), ('name="b"', b"y"))
        return [part.name async for part in multipart.parts(TYPE, pieces(sent, 100))]

    assert asyncio.run(names()) == ["a", "b"]


def test_limit() -> None:
    async def first() -> bytes:
        sent = body(('name="a"', b"x" * 5000))
        async for part in multipart.parts(TYPE, pieces(sent, 100)):
            return await part.read(4999)
        return b""

    with pytest.raises(TooLarge, match="'a' is larger than 4999 bytes"):
        asyncio.run(first())


@pytest.mark.parametrize(
    ("content", "content_type", "reason"),
    [
        (b"", TYPE, "ends before"),
        (body(('name="a"', b"x"))[:-8], TYPE, "ends before"),
        (b"hello", TYPE, "malformed"),
        (body(('filename="a"', b"x")), TYPE, "no name"),
        (body(('name="\xff"', b"x")).replace(b"\xc3\xbf", b"\xff"), TYPE, "UTF-8"),
        (body(('name="a"', b"x")), "multipart/form-data", "boundary"),
        (body(('name="a"', b"x")), f"multipart/form-data; boundary={'b' * 300}", "oundary"),
    ],
)
def test_malformed(content: bytes, content_type: str, reason: str) -> None:
    with pytest.raises(MalformedRequest, match=reason):
        read(content, content_type=content_type)

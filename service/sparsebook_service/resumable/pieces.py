"""The pieces of uploads on their way in: on the disk while they come, in memory only while they are written.

The protocol's package takes a piece as a whole. So many clients at once may be in the middle of one as there are; if each had its piece
in memory, that would be the service's memory.
"""

import tempfile
from pathlib import Path
from typing import IO

from starlette.requests import ClientDisconnect, Request

from sparsebook_compressor.errors import TooLarge
from sparsebook_service.intake.headers import announced_bytes
from sparsebook_service.slow import arriving
from sparsebook_service.storage import full_disk_named

# A piece at most.
MOST_BYTES = 8 << 20
# So many are in memory at once; each takes part in one write alone, which no client can draw out.
MOST_IN_MEMORY = 4
_SMALL = 64 << 10


def waiting_room(folder: Path) -> IO[bytes]:
    """A file without a name, for one piece."""
    return tempfile.SpooledTemporaryFile(max_size=_SMALL, dir=str(folder))


async def take(request: Request, into: IO[bytes], most: int, seconds: float) -> bool:
    """Take the body of a request.

    Args:
        request: with the piece.
        into: where it goes.
        most: bytes.
        seconds: for which nothing may come.

    Returns:
        Whether all of it came; otherwise the connection broke, and what came first is there.

    Raises:
        TooLarge: it has more bytes.
        SlowBody: nothing came for so long.
        StorageFull: the disk has no room.
    """
    refusal = (
        f"a piece is larger than {most} bytes: send more and smaller ones"
        if most == MOST_BYTES
        else f"the body is larger than the {most} bytes of the whole file, as Upload-Length says"
    )
    if announced_bytes(request) > most:
        raise TooLarge(refusal)
    size = 0
    try:
        async for chunk in arriving(request, seconds):
            size += len(chunk)
            if size > most:
                raise TooLarge(refusal)
            with full_disk_named("the upload"):
                into.write(chunk)
    except ClientDisconnect:
        return False
    return True

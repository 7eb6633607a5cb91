"""Looks the names of webhooks up, in threads of its own: a slow name server holds up nothing but webhooks, and of those one owner's.

The loop's own look-up runs in the threads that requests wait in. Nothing can end a look-up that hangs; so its thread is left behind,
counted, until the resolver gives up (half a minute as a rule), and it never holds up the end of the process.
"""

import asyncio
import socket
import threading
from collections import Counter
from collections.abc import Sequence

MOST_THREADS = 16
MOST_OF_OWNER = 4


class Busy(OSError):
    """So many names are looked up already that this one must come again."""


class Names:
    """The look-ups that are under way."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def addresses(self, host: str, port: int, owner: str) -> Sequence[str]:
        """The IP addresses of a name, each once, in the resolver's order. Whoever is tired of waiting cancels.

        Args:
            host: the name.
            port: that is to be connected to.
            owner: whom the webhook belongs to.

        Raises:
            OSError: there is no such name.
            Busy: earlier look-ups of this owner's, or everybody's, hang.
        """
        self._begin(owner)
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def tell(result: list[str] | Exception) -> None:
            if found.done():  # nobody waits any more
                return
            if isinstance(result, Exception):
                found.set_exception(result)
            else:
                found.set_result(result)

        def look_up() -> None:
            result: list[str] | Exception
            try:
                known = socket.getaddrinfo(
                    host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
                )
                result = list(dict.fromkeys(str(each[4][0]) for each in known))
            except (OSError, UnicodeError) as error:
                result = error if isinstance(error, OSError) else OSError(str(error))
            finally:
                self._end(owner)
            try:
                loop.call_soon_threadsafe(tell, result)
            except RuntimeError:  # the loop has ended meanwhile, and with it whoever asked
                return

        threading.Thread(target=look_up, name="webhook name", daemon=True).start()
        return await found

    def _begin(self, owner: str) -> None:
        with self._lock:
            if self._under_way[owner] >= MOST_OF_OWNER or self._under_way.total() >= MOST_THREADS:
                raise Busy("earlier names of webhooks are still being looked up")
            self._under_way[owner] += 1

    def _end(self, owner: str) -> None:
        with self._lock:
            self._under_way[owner] -= 1
            if not self._under_way[owner]:
                del self._under_way[owner]

"""How often a key may ask. Each process of the service counts for itself, and forgets at its end."""

import math
import time

from limits import RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from sparsebook_service.errors import RateLimited


class Rates:
    """The requests of the last minute, by key."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    def count(self, key_id: str, a_minute: int) -> None:
        """Count a request.

        Raises:
            RateLimited: there were so many in the last sixty seconds; says when the next one is due.
        """
        limit = RateLimitItemPerMinute(a_minute)
        if not self._limiter.hit(limit, key_id):
            due = self._limiter.get_window_stats(limit, key_id).reset_time
            raise RateLimited(
                f"more than {a_minute} requests in a minute with the key {key_id}",
                retry_after=max(1, math.ceil(due - time.time())),
            )

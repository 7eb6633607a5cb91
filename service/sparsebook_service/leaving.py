"""The end of a process that has closed all it had open."""

import logging
import os
import sys
from typing import NoReturn


def leave() -> NoReturn:
    """End with status 0 at once.

    The interpreter would take every module apart first: half a second of a processor, on a busy machine many, in which
    whoever stops a service waits for nothing.
    """
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)

"""Imported first in the nursery: the process becomes itself once more, without what the service's environment holds.

To forget variables would not do: what the kernel has put into the process's memory at its start stays there, for all that are forked
from it. The file descriptors that it was given stay open.
"""

import os
import sys

from sparsebook_service.environment import harmless

# Elsewhere an import changes nothing: multiprocessing starts its fork server with such a command.
if "multiprocessing.forkserver" in sys.orig_argv[-1] and (_kept := harmless()) != dict(os.environ):
    os.execve(sys.executable, sys.orig_argv, _kept)  # noqa: S606  itself, once more

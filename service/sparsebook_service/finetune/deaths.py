"""A trainer that dies is started again; one that dies again and again is given up."""

from collections.abc import Callable
from pathlib import Path

from sparsebook_service.finetune import checkpoints, problems

# A trainer that dies so often without a new checkpoint in between is given up.
MOST_DEATHS = 3


def outlive(
    work: Path, live: Callable[[], str | None], mourn: Callable[[str, int], object]
) -> None:
    """Run a trainer until it has its result; it goes on after the checkpoint that the one before it has left.

    Args:
        work: the trainer's own folder.
        live: one run of the program: how it died, or None where it has made the result.
        mourn: is told of every death: how, and the how manieth it is since the last new checkpoint.

    Raises:
        problems.Stopped: it is given up.
    """
    reached = checkpoints.newest(work)
    deaths = 0
    while (died := live()) is not None:
        epoch = checkpoints.newest(work)
        deaths = deaths + 1 if epoch == reached else 1
        reached = epoch
        mourn(died, deaths)
        if deaths == MOST_DEATHS:
            raise problems.Stopped(problems.of_death(died), died)

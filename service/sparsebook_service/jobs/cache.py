"""Answers a request that has been answered before: with the earlier job's artifact, without computing it again.

The same means: the same bytes and names of model, external data, data, loss, metric and base, the same config with its seed, the same version
of the product, the same operator libraries and the same API key. A job that is answered so has files of its own, so that either job can be deleted.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from sparsebook_service.jobs import keys
from sparsebook_service.jobs.protocol import MadeFile
from sparsebook_service.jobs.repository import Repository
from sparsebook_service.jobs.results import artifact_href
from sparsebook_service.jobs.table import JobRow
from sparsebook_service.libraries import Libraries
from sparsebook_service.storage import Storage
from sparsebook_service.version import VERSION


class Cache:
    """The artifacts of jobs that have succeeded, by what was asked for."""

    def __init__(self, storage: Storage, repository: Repository, runtimes: Path | None) -> None:
        """Args: runtimes: the folder of operator libraries that go into bundles."""
        self._storage = storage
        self._repository = repository
        self._runtimes = runtimes

    def key(self, fingerprint: str, owner: str | None) -> str:
        """What a request of an API key is known by, from the fingerprint of its files and config."""
        libraries = Libraries.find(self._runtimes).by_platform()
        facts = {name: path.stat() for name, path in libraries.items()}
        made_with = [[name, found.st_size, found.st_mtime_ns] for name, found in facts.items()]
        text = json.dumps([VERSION, sorted(made_with), fingerprint, owner])
        return hashlib.sha256(text.encode()).hexdigest()

    def answer(self, key: str, job_id: str) -> tuple[str, dict[str, Any]] | None:
        """Give a new job the artifact of an earlier one, where there is one.

        Args:
            key: of the request.
            job_id: of the new job, which has no row yet.

        Returns:
            The earlier job's id, and the result for the new job's row.

        Raises:
            StorageFull: the disk has no room.
        """
        earlier = self._repository.succeeded_as(key)
        if earlier is None or earlier.result is None:
            return None
        try:
            self._copy(earlier, job_id)
        except FileNotFoundError:  # it is deleted just now
            self._storage.remove(keys.output(job_id))
            return None
        return earlier.id, _readdressed(earlier.result, job_id)

    def _copy(self, earlier: JobRow, job_id: str) -> None:
        assert earlier.result is not None
        for found in earlier.result["result"]["files"]:
            file = MadeFile(**{name: found[name] for name in ("name", "bytes", "sha256")})
            self._storage.copy(keys.artifact(earlier.id, file), keys.artifact(job_id, file))
        bundle = MadeFile(**earlier.result["bundle"])
        self._storage.copy(keys.bundle(earlier.id, bundle), keys.bundle(job_id, bundle))


def _readdressed(result: dict[str, Any], job_id: str) -> dict[str, Any]:
    files = [
        {**file, "href": artifact_href(job_id, file["name"])} for file in result["result"]["files"]
    ]
    return {**result, "result": {**result["result"], "files": files}}

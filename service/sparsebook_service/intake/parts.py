"""What was uploaded."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sparsebook_compressor.config import Config
from sparsebook_compressor.demands import require_data, require_operators


@dataclass(frozen=True, slots=True)
class Part:
    """A file that was uploaded; `key` is where it lies."""

    name: str
    key: str
    bytes: int
    sha256: str


@dataclass(slots=True)
class Upload:
    """A whole upload."""

    model: Part
    data: list[Part] = field(default_factory=list)
    loss: Part | None = None
    metric: Part | None = None
    external: list[Part] = field(default_factory=list)
    base: Part | None = None

    @property
    def input_bytes(self) -> int:
        """Bytes of the model with its external data."""
        return self.model.bytes + sum(part.bytes for part in self.external)

    def fingerprint(self, config: Config) -> str:
        """A digest of what is asked for: the same for the same files and config, however they were sent."""
        content: dict[str, Any] = {
            "config": config.as_given(),
            "model": [self.model.name, self.model.sha256],
            "data": [part.sha256 for part in self.data],
            "loss": self.loss.sha256 if self.loss else None,
            "metric": self.metric.sha256 if self.metric else None,
            "external": sorted([part.name, part.sha256] for part in self.external),
        }
        if self.base is not None:
            content["base"] = self.base.sha256
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def check(self, config: Config) -> None:
        """Refuse what would fail before the model is opened.

        Raises:
            BadValue: the config and the parts do not go together.
        """
        data = [Path(part.name) for part in self.data]
        loss = Path(self.loss.name) if self.loss else None
        metric = Path(self.metric.name) if self.metric else None
        # A job waits for a worker as long as it takes.
        require_data(config, data, loss, metric, trains=True)
        require_operators(config, self.base is not None)

    def plain(self) -> dict[str, Any]:
        """As JSON data."""
        return asdict(self)

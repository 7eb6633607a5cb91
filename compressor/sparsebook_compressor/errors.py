"""Everything that can go wrong, as one tree.

    SparsebookError
    ├── InputError               the caller can mend it (command line: exit status 2)
    │   ├── NotOnnx              not an ONNX protobuf: empty, truncated, something else
    │   ├── InvalidGraph         an ONNX file whose graph breaks the standard
    │   ├── ExternalDataMissing  a weight's bytes live in a file that is not there, or is too short
    │   ├── ExternalDataOutside  a weight's file lies outside the model's folder, or is a link
    │   ├── NotFinite            a weight holds NaN, or all hold infinity
    │   ├── NothingToCompress    no weight is left to work on
    │   ├── UnknownOption        a config key that does not exist, or what another part does
    │   ├── BadValue             a config value that is not allowed
    │   ├── BadData              the data file does not fit the model
    │   ├── TooLarge             beyond a limit of the format or the settings
    │   ├── NotTrainable         no weight of the graph can get a gradient
    │   ├── NoTrainer            retraining is asked for, and no worker can do it
    │   ├── DeltaError           an update that is damaged, or for another artifact
    │   └── PayloadError         an encoded weight that breaks docs/format.md
    ├── Diverged                 training left the finite numbers; the last good state is kept
    ├── BudgetNotMet             the metric drops more than allowed; the best that was found is kept
    ├── GateNotMet               the artifact misses what it must come to; it is kept
    ├── StorageFull              the disk has no room; nothing half-written is left
    └── InternalError            a fault of Sparsebook's own, such as an artifact that does not load

Every class carries `problem`, the slug under which docs/http.md documents it; only the service knows HTTP statuses.
Messages name the file, the weight and the stage where there is one, and say what to do.
"""

from typing import ClassVar


class SparsebookError(Exception):
    """Base of all errors that Sparsebook raises on purpose."""

    problem: ClassVar[str] = "internal"


class InputError(SparsebookError):
    """What was handed in cannot be used as it is."""


class NotOnnx(InputError):
    """The bytes are not an ONNX model."""

    problem = "not-onnx"


class InvalidGraph(InputError):
    """The file is ONNX, its graph is not valid."""

    problem = "invalid-graph"


class ExternalDataMissing(InputError):
    """A file with a weight's bytes is missing or too short."""

    problem = "external-data-missing"


class ExternalDataOutside(InputError):
    """A weight's file is outside the model's folder, or a link."""

    problem = "external-data-outside"


class NotFinite(InputError):
    """A weight holds NaN or infinity."""

    problem = "not-finite"


class NothingToCompress(InputError):
    """The model has no weight that could be compressed."""

    problem = "nothing-to-compress"


class UnknownOption(InputError):
    """A config key that this version does not have."""

    problem = "unknown-option"


class BadValue(InputError):
    """A config value out of its range."""

    problem = "bad-value"


class BadData(InputError):
    """The data file does not fit the model's inputs."""

    problem = "bad-data"


class TooLarge(InputError):
    """More than a limit allows."""

    problem = "too-large"


class NotTrainable(InputError):
    """No weight of the graph can get a gradient; the message says what stands in the way."""

    problem = "not-trainable"


class NoTrainer(InputError):
    """Retraining is asked for, and the environment of the fine-tuning worker is not there."""

    problem = "not-trainable"


class DeltaError(InputError):
    """An update (docs/updates.md) that is damaged, or belongs to another artifact."""

    problem = "bad-value"


class PayloadError(InputError):
    """The bytes of an encoded weight break docs/format.md; `rule` is the id of section 5."""

    problem = "invalid-graph"

    def __init__(self, rule: str, detail: str) -> None:
        """Build the message `payload: <rule>: <detail>` that every decoder gives."""
        super().__init__(f"payload: {rule}: {detail}")
        self.rule = rule


class Diverged(SparsebookError):
    """The loss became infinite or NaN; what was reached before is in the bundle."""

    problem = "diverged"


class BudgetNotMet(SparsebookError):
    """No setting keeps the metric within the budget; the best that was found is in the bundle."""

    problem = "budget-not-met"


class GateNotMet(SparsebookError):
    """The artifact is larger or slower than it may be; it is in the bundle."""

    problem = "gate-not-met"


class StorageFull(SparsebookError):
    """No room left on the disk."""

    problem = "storage-full"


class InternalError(SparsebookError):
    """A fault of Sparsebook's own."""

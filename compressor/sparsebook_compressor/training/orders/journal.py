"""What fine-tuning has done so far, for the account."""

from dataclasses import dataclass, field

from sparsebook_compressor.protocol import CutRow, Phase, Refusal


@dataclass(eq=False)
class Journal:
    """Written by `FineTuning` and by who prunes.

    Attributes:
        phases: the trainings.
        cuts: what pruning did.
        refused: trainings that the worker refused or failed in when others had been carried out; no more of that stage are
            ordered.
        retrained: names of the weights that were trained as floats.
        versions: of the worker, once it has done something.
    """

    phases: list[Phase] = field(default_factory=list)
    cuts: list[CutRow] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    retrained: set[str] = field(default_factory=set)
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def diverged(self) -> Phase | None:
        """The first training that ended without any good epoch because its loss was not finite."""
        bad = (phase for phase in self.phases if phase.ended == "diverged" and not phase.kept_epoch)
        return next(bad, None)

"""A config as JSON data that gives the same result again."""

from typing import Any

from sparsebook_compressor.config import Config


def as_given(config: Config) -> dict[str, Any]:
    """What was set, and the three choices that everybody wants to see.

    Not all defaults: a preset chooses what was not set, and would take a written-out default for the caller's wish.

    >>> as_given(Config.parse({"seed": 7}))
    {'preset': 'safe', 'output': 'operator', 'seed': 7}
    """
    always = {"preset": config.preset, "output": config.output, "seed": config.seed}
    return {**always, **config.model_dump(mode="json", exclude_unset=True)}

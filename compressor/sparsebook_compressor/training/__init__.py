"""Fine-tuning while a model is compressed: from the user's samples to trained weights.

`data` checks samples and lays them out, `aim` decides what is minimised and measured, `losses` builds that behind the model's
outputs, `orders` has a worker train a graph through files (docs/training.md), `course` prunes, retrains, shares and tunes.
"""

"""Where the files of trainings lie in the storage."""

TRAININGS = "finetune"
DATASETS = "datasets"


def training(training_id: str) -> str:
    """Everything of a training but its dataset."""
    return f"{TRAININGS}/{training_id}"


def order(training_id: str) -> str:
    """The order, format 1; gone when the training has its result."""
    return f"{TRAININGS}/{training_id}/order"


def checkpoints(training_id: str) -> str:
    """What the worker needs to go on after its last epochs; gone when the training has its result."""
    return f"{TRAININGS}/{training_id}/checkpoint"


def result(training_id: str) -> str:
    """The result, format 1."""
    return f"{TRAININGS}/{training_id}/result"


def dataset(dataset_id: str) -> str:
    """A dataset, format 1; several trainings may read it."""
    return f"{DATASETS}/{dataset_id}"

"""Property tests here have no deadline: a shared machine is slow now and then, and no test looks at the clock."""

from hypothesis import settings

settings.register_profile("compressor", deadline=None)
settings.load_profile("compressor")


# Programs for the worker's environment, which tests start there.
collect_ignore = ["trainable/differentiate.py", "training/gradients.py"]

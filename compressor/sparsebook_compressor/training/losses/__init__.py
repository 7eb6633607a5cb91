"""Loss and metric as nodes behind the model's outputs."""

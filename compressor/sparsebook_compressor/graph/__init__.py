"""A read-only view of an ONNX model's weights: where each one is stored and who consumes it."""

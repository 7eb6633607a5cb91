"""An artifact against its original in ONNX Runtime: loading, latency, memory, energy."""

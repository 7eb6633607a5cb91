"""Compression from inputs alone: no labels, no training.

Layers' inputs are looked at in ONNX Runtime, weights are pruned and shared in one pass with error feedback
(stages/feedback.py), and bits go where a bit saves most of the outputs' error.
"""

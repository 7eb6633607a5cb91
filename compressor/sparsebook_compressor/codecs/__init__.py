"""Lossless codecs: pure encode/decode pairs over NumPy arrays."""

"""Tuning an artifact later: its codebooks are trained on data, codes and gaps stay as they are."""

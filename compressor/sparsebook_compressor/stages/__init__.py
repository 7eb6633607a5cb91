"""The stages that change a weight: an array and settings in, an array and statistics out; no I/O, no logging."""

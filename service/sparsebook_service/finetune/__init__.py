"""Trainings: asked for by jobs, run by fine-tuning workers, shared by content."""

"""Webhooks: the end of a job is posted to the address that came with it, signed, again and again until somebody takes it."""

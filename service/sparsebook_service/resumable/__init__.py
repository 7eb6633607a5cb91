"""Uploads that go on where they were cut off, after the tus protocol, version 1.0.0."""

"""Sparsebook as a service: the HTTP application, durable jobs, storage and the command line."""

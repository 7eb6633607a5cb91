"""Jobs: accepted, queued, run in a child process, kept until they are deleted."""

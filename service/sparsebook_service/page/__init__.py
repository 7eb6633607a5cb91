"""What a person sees: the page at `/`, drawn by the server from the same jobs that the HTTP contract shows."""

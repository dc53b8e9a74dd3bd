"""What `make bench-http` measures: publishing by POST, following by SSE, against web servers that do the same."""

"""What one chapter measures beyond `cae_lib.metrics`: a file for each theme, pure functions on numpy arrays."""

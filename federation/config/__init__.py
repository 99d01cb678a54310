"""Reads `fedml.toml` and checks it."""

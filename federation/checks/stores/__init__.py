"""Checks on the user's own bucket every promise that results and an index depend on."""

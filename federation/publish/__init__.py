"""Publishes artifacts and their records. Runs on the node."""

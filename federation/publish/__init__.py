"""Publishes artifacts and their records; runs on the node."""

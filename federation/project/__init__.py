"""Writes a project folder (`fedml init`)."""

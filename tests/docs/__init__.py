"""Checks the documentation: commands exist, links lead somewhere, recorded sessions give the same output."""

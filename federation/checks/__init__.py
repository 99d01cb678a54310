"""Checks of an installation: `fedml doctor` and `fedml stores check`."""

"""Checks everything that a federation needs: regions, permissions, stores, clocks, this installation."""

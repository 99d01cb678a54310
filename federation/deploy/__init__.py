"""Registers one job in every chosen region."""

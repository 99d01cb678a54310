"""The documentation is run: commands exist, sessions give what the page shows."""

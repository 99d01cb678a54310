"""The local SQLite catalog: the index's log, folded into tables."""

"""Background work of an embedded server: evaluations, heartbeats, garbage collection."""

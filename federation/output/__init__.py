"""The only way to standard output and standard error, for people and for programs."""

"""`fedml publish` as one file for nodes without fedml: builds the archive and runs in it."""

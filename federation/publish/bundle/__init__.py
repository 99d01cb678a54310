"""`fedml publish` as one file for nodes, which need nothing of fedml: built here, and run from it."""

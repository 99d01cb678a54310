"""A folder as an object store: a local disk or an NFS mount."""

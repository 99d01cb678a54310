"""Maintenance of an index: sync, verify, rebuild, gc, copies, signatures, export."""

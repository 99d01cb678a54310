"""What keeps an index healthy: sync, verify, rebuild, gc, copies, signatures, export."""

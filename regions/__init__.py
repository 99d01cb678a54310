"""The places: Nomad regions (real and embedded) and object stores, each vendor behind one module."""

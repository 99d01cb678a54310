"""Packs a person's code, puts it into stores, and unpacks it on a node, verified."""

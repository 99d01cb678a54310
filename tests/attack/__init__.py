"""A property-based attacker against every command: what nodes, regions, stores and other users could write."""

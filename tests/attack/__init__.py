"""A property-based attacker: whatever nodes, regions, stores and other users can write, against every command."""

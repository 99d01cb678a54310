"""Partitions of a network that the operator of three regions meets, played on embedded regions and on real Nomad agents."""

"""Figures as ratios of two things measured in one run (or memory). Nothing here asserts a time: `make bench` prints."""

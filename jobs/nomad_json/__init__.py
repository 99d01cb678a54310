"""Nomad's JSON of a job: its canonical form, its problems, and what differs."""

"""The checks of a job by Nomad's servers, block by block."""

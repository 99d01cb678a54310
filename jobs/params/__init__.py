"""Parameters of the slots: parameter files and sweeps."""

"""A federation enters, checks of everything it needs leave: regions, permissions, stores, clocks, this installation."""

"""Pure decisions of a run's coordinator: events in, commands out, no I/O."""

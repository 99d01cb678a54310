"""One module for each thing a person does; the only rooms where the stages meet."""

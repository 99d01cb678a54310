"""A store enters, checks of every promise that results and an index rest on leave: on the user's own bucket."""

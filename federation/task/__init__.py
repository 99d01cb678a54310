"""What `fedml run` does in a task, on the node: fetches the code, runs the command, publishes what it wrote."""

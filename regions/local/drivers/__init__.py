"""Task drivers of the embedded region: a task's configuration goes in, a start, an exit or an error comes out."""

"""Jobs: parses jobspecs to Nomad's JSON, checks, renders and compares them. Knows no region and no store."""

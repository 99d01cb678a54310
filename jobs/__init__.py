"""The job side: a jobspec enters as text, a job leaves as Nomad's JSON. Knows no region and no store."""

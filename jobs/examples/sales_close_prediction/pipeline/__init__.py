"""Who buys next? Six stages from a table of customers to a published model; `python3 -m pipeline STAGE…` runs them."""

"""Six stages from a table of customers to a published model that predicts who buys. Run: `python3 -m pipeline STAGE…`."""

"""Task drivers of the embedded region."""

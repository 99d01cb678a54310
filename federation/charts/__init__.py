"""Charts as SVG: pure functions from plain values to pictures for pages, files and notebooks."""

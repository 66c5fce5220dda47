"""The hospital report: one page for a hospital and a quarter, as PDF and as HTML."""

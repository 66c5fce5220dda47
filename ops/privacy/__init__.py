"""Privacy lineage: which source columns reach which column of a zone, and whether they may."""

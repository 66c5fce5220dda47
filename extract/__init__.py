"""Operational databases in, an immutable snapshot in the lake out."""

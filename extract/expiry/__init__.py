"""Rows that are older than the policy of their table."""

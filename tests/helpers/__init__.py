"""Builders of operational input for tests."""

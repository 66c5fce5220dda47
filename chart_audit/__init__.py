"""Chart audit: what reviewers found in the charts of ED returns, kept in a store of its own."""

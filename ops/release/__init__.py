"""Research releases: sampled, gated, written whole or not at all, and entered in a ledger."""

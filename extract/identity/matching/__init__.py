"""Which registrations are one person: standardise, block, score, cluster, decide."""

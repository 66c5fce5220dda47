"""Everything that may turn red."""

"""The honest broker: which record a token of a worklist stands for, asked and answered."""

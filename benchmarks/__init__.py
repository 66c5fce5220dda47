"""Ratios of Scutari's heavy steps against bare tools, measured in one run on one machine."""

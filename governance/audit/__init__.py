"""The audit log: what was done to the data, by which account, in one unbroken chain."""

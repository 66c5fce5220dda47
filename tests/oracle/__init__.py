"""Second implementations, written from the definitions alone; the warehouse must agree."""

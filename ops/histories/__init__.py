"""The worked histories of ED returns, and the unit tests and page of definitions made of them."""

"""Who is one person: decisions by hand, and how well matching does."""

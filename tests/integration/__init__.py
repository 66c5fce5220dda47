"""Real databases, real Parquet, real dbt."""

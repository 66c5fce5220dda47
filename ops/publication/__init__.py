"""What is published for the dashboards: gated, suppressed, frozen once a period is closed."""

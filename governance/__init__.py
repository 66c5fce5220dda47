"""The ground floor: settings, keys and the errors every other room raises."""

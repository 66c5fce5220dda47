"""The ``scutari`` command line, one module for each family of commands."""

"""How published files are read: locked down, so that no statement reaches another file."""

from __future__ import annotations

import duckdb

# The link to what was published last, in each zone of published files.
CURRENT = "current.duckdb"


def open_locked(path: str) -> duckdb.DuckDBPyConnection:
    """Open one file so that nothing else can be read and nothing written, by any statement."""
    # All of it in the configuration: set by statements afterwards, a second connection to a file
    # that is still open somewhere (an evicted cache entry, say) fails on the lock of the first.
    # Without external access DuckDB still allows the file it was opened with, and no other.
    return duckdb.connect(
        path,
        read_only=True,
        config={
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "allow_persistent_secrets": "false",
            "python_enable_replacements": "false",
            "enable_external_access": "false",
            "lock_configuration": "true",
        },
    )

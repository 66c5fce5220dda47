"""A plug-in of dbt-duckdb that looks for the home directory before the warehouse is opened.

Without it a mistyped ``SCUTARI_HOME`` ends ``dbt build`` in a traceback of DuckDB's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError


class Plugin(BasePlugin):
    """Refuses a warehouse file whose directory does not exist."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Look for the directory.

        Raises:
            DbtRuntimeError: it is not there.
        """
        if self.creds is None or self.creds.path == ":memory:":
            return
        home = Path(self.creds.path).absolute().parent
        if not home.is_dir():
            raise DbtRuntimeError(
                f"There is no directory {home}: set SCUTARI_HOME to an installation's home, or "
                "make one with `scutari demo` or `scutari snapshot`."
            )

"""A plug-in of dbt-duckdb that attaches the encrypted warehouse before dbt looks for it."""

from __future__ import annotations

from typing import Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError

from governance.errors import ScutariError
from governance.settings import load_settings
from ops.encryption import attach_for_writing


class Plugin(BasePlugin):
    """Attaches ``warehouse`` with the key that the installation's settings name."""

    def configure_connection(self, conn: Any) -> None:
        """Attach it.

        Raises:
            DbtRuntimeError: there is no installation, key or extension, or the key is another.
        """
        try:
            attach_for_writing(conn, load_settings())
        except ScutariError as error:
            raise DbtRuntimeError(str(error)) from None
        except duckdb.Error as error:
            raise DbtRuntimeError(
                "The encrypted warehouse cannot be opened for writing "
                f"({type(error).__name__}): close the program that has it open, and look whether "
                "the key is the one it was made with and the file is an encrypted one."
            ) from None

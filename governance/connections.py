"""Where the connection string of a PostgreSQL database is: never in the settings themselves."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from governance.errors import SettingsError


@dataclass(frozen=True)
class ConnectionString:
    """The environment variable or the file that holds one database's connection string.

    Attributes:
        owner: whose database it is, as a sentence begins with it.
        section: the table of the settings that names it.
    """

    owner: str
    section: str
    env: str | None = None
    file: Path | None = None

    @property
    def held_in(self) -> str:
        """Where it is, in words."""
        return str(self.env or self.file)

    def read(self) -> str:
        """Return the connection string.

        Raises:
            SettingsError: neither place is named, or the named one holds nothing.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "")
            where = f"the environment variable {self.env}"
        elif self.file is not None:
            where = f"the file {self.file}"
            try:
                value = self.file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError):
                value = ""
        else:
            raise SettingsError(
                f"{self.owner} is a PostgreSQL database without a connection string: set dsn_env "
                f"or dsn_file under [{self.section}] in scutari.toml."
            )
        if not value:
            raise SettingsError(
                f"{self.owner} has no connection string: {where} is missing, empty or cannot be "
                "read."
            )
        return value

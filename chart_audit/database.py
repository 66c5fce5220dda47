"""What a store of chart reviews needs of its database, and which of the two kinds it is.

Statements are the same for both, with ``?`` for a value. What differs is how a hospital's tables
are kept apart, how a write is locked and how the database refuses: see ``sqlite``, ``postgres``.
PostgreSQL's driver takes longer to load than most commands run: only who asks for it loads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from chart_audit import sqlite
from governance.settings import Settings

Row = tuple[Any, ...]


class Database(Protocol):
    """One hospital's tables, on a connection of their own."""

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[Row]:
        """Run one statement; return its rows."""

    def execute_many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement for each row of values."""

    def transaction(self) -> AbstractContextManager[None]:
        """Write all of it or nothing, while nobody else writes to this hospital's tables.

        Raises:
            ChartAuditError: somebody else is writing, or the database refuses or is gone.
        """

    def snapshot(self) -> AbstractContextManager[None]:
        """Read several statements of one state.

        Raises:
            ChartAuditError: the database cannot be read.
        """

    def removing(self) -> AbstractContextManager[None]:
        """Let the rest of a transaction delete what is only added to otherwise."""

    def wipe(self) -> None:
        """Leave nothing in the tables' files of rows that were deleted.

        Raises:
            ChartAuditError: the database refuses.
        """


def open_database(settings: Settings, hospital: str) -> AbstractContextManager[Database]:
    """Open a hospital's tables, made at their first use.

    Raises:
        ChartAuditError: others may read them, they are of another version, or out of reach.
        SettingsError: there is no connection string.
    """
    if settings.review_database is None:
        return sqlite.opened(settings, hospital)
    from chart_audit import postgres  # noqa: PLC0415

    return postgres.opened(settings, settings.review_database, hospital)


def hospitals(settings: Settings) -> list[str]:
    """Return every hospital that has a store.

    Raises:
        ChartAuditError: the database cannot be read.
        SettingsError: there is no connection string.
    """
    if settings.review_database is None:
        return sqlite.hospitals(settings)
    from chart_audit import postgres  # noqa: PLC0415

    return postgres.hospitals(settings, settings.review_database)


def forget(settings: Settings) -> None:
    """Remove every store with all that is in it: for made-up reviews alone.

    Raises:
        ChartAuditError: the database refuses.
        SettingsError: there is no connection string.
    """
    if settings.review_database is None:
        sqlite.forget(settings)
        return
    from chart_audit import postgres  # noqa: PLC0415

    postgres.forget(settings, settings.review_database)

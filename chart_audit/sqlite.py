"""A hospital's chart reviews in a SQLite file of its own.

Every change is one transaction that takes the file's write lock at its beginning and is on the disk
when it ends.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from chart_audit.files import require_closed, store_path
from chart_audit.schema import GUARDS, TABLES, VERSION, WITHOUT_GUARDS, wrong_version
from governance.errors import ChartAuditError
from governance.settings import Settings

_WAIT_SECONDS = 10.0


@contextmanager
def opened(settings: Settings, hospital: str) -> Iterator[SqliteDatabase]:
    """Open a hospital's file, and make it at its first use."""
    path = store_path(settings, hospital)
    try:
        # One account over all zones makes it at its first use; else the home directory is root's.
        settings.chart_audit.mkdir(mode=0o700, exist_ok=True)
        require_closed(path)
        connection = sqlite3.connect(path, timeout=_WAIT_SECONDS, isolation_level=None)
    except (OSError, sqlite3.Error):
        raise ChartAuditError(
            f"The chart audit of hospital {hospital} cannot be opened ({path}): see that the "
            "directory is there and belongs to this account."
        ) from None
    with closing(connection):
        yield SqliteDatabase(connection, hospital)


def hospitals(settings: Settings) -> list[str]:
    """Return every hospital that has a file."""
    return sorted(path.stem for path in settings.chart_audit.glob("*.sqlite"))


def forget(settings: Settings) -> None:
    """Remove every file."""
    for path in settings.chart_audit.glob("*.sqlite*"):
        path.unlink()


class SqliteDatabase:
    """One open file."""

    def __init__(self, connection: sqlite3.Connection, hospital: str) -> None:
        self.connection = connection
        self._hospital = hospital
        try:
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise self._unreadable(error) from None

    def execute(self, statement: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; return its rows."""
        return self.connection.execute(statement, values).fetchall()

    def execute_many(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement for each row of values."""
        self.connection.executemany(statement, rows)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Write under the file's lock: all of it, or nothing."""
        try:
            with self._between("begin immediate"):
                yield
        except sqlite3.OperationalError as error:
            raise ChartAuditError(
                f"The review of hospital {self._hospital} was not saved "
                f"({error.sqlite_errorname}): somebody else may be saving, or the disk be full; "
                "what was saved before is unchanged, save again."
            ) from None

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read one state of the file."""
        try:
            with self._between("begin"):
                yield
        except sqlite3.Error as error:
            raise self._unreadable(error) from None

    @contextmanager
    def removing(self) -> Iterator[None]:
        """Take the guards away, and put them back in the same transaction."""
        for statement in WITHOUT_GUARDS:
            self.connection.execute(statement)
        yield
        for statement in GUARDS:
            self.connection.execute(statement)

    def wipe(self) -> None:
        """Nothing is left to do: what is deleted is overwritten at once."""

    def _prepare(self) -> None:
        # Each transaction outlives a power cut, the removal of its journal too.
        self.connection.execute("pragma synchronous = extra")
        self.connection.execute("pragma foreign_keys = on")
        # What is removed is overwritten, in free pages too.
        self.connection.execute("pragma secure_delete = on")
        with self.transaction():
            (version,) = self.connection.execute("pragma user_version").fetchone()
            if version not in (0, VERSION):
                raise wrong_version(self._hospital, version)
            if version == 0:
                for statement in (*TABLES, *GUARDS):
                    self.connection.execute(statement)
                self.connection.execute(f"pragma user_version = {VERSION}")

    def _unreadable(self, error: sqlite3.Error) -> ChartAuditError:
        return ChartAuditError(
            f"The chart audit of hospital {self._hospital} cannot be read "
            f"({getattr(error, 'sqlite_errorname', 'damaged')}): restore its file from the backup."
        )

    @contextmanager
    def _between(self, begin: str) -> Iterator[None]:
        self.connection.execute(begin)
        try:
            yield
            self.connection.execute("commit")
        except BaseException:
            self.connection.execute("rollback")
            raise

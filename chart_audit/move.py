"""Chart reviews moved from their files into PostgreSQL: each hospital's whole, or not at all."""

from __future__ import annotations

from typing import Any

from chart_audit import postgres, sqlite
from chart_audit.database import Database
from chart_audit.files import store_path
from chart_audit.schema import ROWS
from governance.errors import ChartAuditError
from governance.files import sync
from governance.settings import Settings

_ORDER = ("codes", *reversed(ROWS))
_NUMBERED = (("reviews", "review_id"), ("edits", "edit_id"))
Content = dict[str, list[tuple[Any, ...]]]


def move_reviews(settings: Settings) -> list[str]:
    """Copy every file into its hospital's schema, compare the two, and remove the file.

    A move that was cut off is done again: what is there already and equal is not written twice.

    Returns:
        The hospitals whose files were moved.

    Raises:
        ChartAuditError: PostgreSQL is not named or refuses, or holds other reviews of a hospital.
        SettingsError: there is no connection string.
    """
    if settings.review_database is None:
        raise ChartAuditError(
            'The settings name no PostgreSQL for reviews: write kind = "postgresql" and dsn_env or '
            "dsn_file under [chart_audit] in scutari.toml."
        )
    moved = sqlite.hospitals(settings)
    for hospital in moved:
        with (
            sqlite.opened(settings, hospital) as file,
            # Nobody saves into the file while it is copied.
            file.transaction(),
            postgres.opened_beside_files(settings.review_database, hospital) as database,
        ):
            content = _content(file)
            _copy(content, database, hospital)
            with database.snapshot():
                if _content(database) != content:
                    raise _differs(hospital)
            path = store_path(settings, hospital)
            path.unlink()
            sync(path.parent)
    return moved


def _copy(content: Content, database: Database, hospital: str) -> None:
    with database.transaction():
        found = _content(database)
        if found == content:
            return
        if any(found[table] for table in ROWS):
            raise _differs(hospital)
        with database.removing():
            for table in _ORDER:
                for row in content[table]:
                    places = ", ".join("?" * len(row))
                    database.execute(
                        f"insert into {table} values ({places}) on conflict do nothing", row
                    )
        for table, column in _NUMBERED:
            # The next number follows the last one; a table without rows begins at 1.
            database.execute(
                f"select setval(pg_get_serial_sequence('{table}', '{column}'), max({column})) "
                f"from {table} having count(*) > 0"
            )


def _content(database: Database) -> Content:
    return {table: sorted(database.execute(f"select * from {table}"), key=repr) for table in _ORDER}


def _differs(hospital: str) -> ChartAuditError:
    return ChartAuditError(
        f"PostgreSQL holds other reviews of hospital {hospital} than its file: nothing of them was "
        "moved and the file stays. See which of the two is right, and take the other away."
    )

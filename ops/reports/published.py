"""What a report is made of: one published version, the network's file and the hospitals' own.

The version is looked up once. A publication that comes meanwhile is another file behind the link,
and its figures are in no report of this batch.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from governance.errors import ReportError
from governance.settings import Settings
from ops.locked_files import CURRENT, open_locked

Row = dict[str, Any]
_PUBLICATION = (
    "select publication.snapshot_id, publication.published_at, publication.hospital_key, "
    "snapshots.is_synthetic, snapshots.data_through_at "
    "from publication cross join rpt_snapshot as snapshots"
)


class File:
    """One published file, open for reading and for nothing else."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """Return the rows of a query by column."""
        result = self._connection.execute(sql, list(parameters))
        names = [column[0] for column in result.description]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


@dataclass(frozen=True)
class Version:
    """One publication: its file's name, which is the same in every zone, and what it says."""

    name: str
    snapshot_id: str
    published_at: dt.datetime
    data_through_at: dt.datetime
    is_synthetic: bool


@contextmanager
def opened_network(settings: Settings) -> Iterator[tuple[Version, File]]:
    """Open the network's file of what was published last.

    Raises:
        ReportError: nothing is published, or it cannot be read.
    """
    path = (settings.published / CURRENT).resolve()
    if not path.is_file():
        raise ReportError(
            f"Nothing has been published in {settings.published} that this account may read: run "
            "`scutari publish`, or `make demo` for the synthetic network."
        )
    with _opened(path) as file:
        found = file.rows(_PUBLICATION)[0]
        yield (
            Version(
                path.name,
                found["snapshot_id"],
                found["published_at"],
                found["data_through_at"],
                bool(found["is_synthetic"]),
            ),
            file,
        )


@contextmanager
def opened_own(settings: Settings, hospital: str, version: Version) -> Iterator[File]:
    """Open a hospital's own file of one version.

    Args:
        settings: the installation.
        hospital: a key of the network's file, never one as somebody typed it.
        version: what the network's file said.

    Raises:
        ReportError: the file is not there, cannot be read, or is another's.
    """
    path = settings.operational / hospital / version.name
    if not path.is_file():
        raise ReportError(
            f"Hospital {hospital} has no file of this publication that this account may read "
            f"({path}): see whose account this is, or run `scutari publish` and the report again."
        )
    with _opened(path) as file:
        found = file.rows(_PUBLICATION)[0]
        wanted = (hospital, version.snapshot_id, version.published_at)
        if (found["hospital_key"], found["snapshot_id"], found["published_at"]) != wanted:
            raise ReportError(
                f"{path} is not the file of hospital {hospital} in this publication: it was put "
                "there by hand; run `scutari publish` again."
            )
        yield file


@contextmanager
def _opened(path: Path) -> Iterator[File]:
    try:
        connection = open_locked(str(path))
    except duckdb.Error as error:
        raise _unreadable(path, error) from None
    try:
        yield File(connection)
    except duckdb.Error as error:
        raise _unreadable(path, error) from None
    finally:
        connection.close()


def _unreadable(path: Path, error: duckdb.Error) -> ReportError:
    # The library's own words can hold values of the file.
    return ReportError(
        f"{path} cannot be read ({type(error).__name__}): run `scutari publish` with this version "
        "of Scutari."
    )

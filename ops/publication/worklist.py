"""Which returns a hospital is given to review, and the list of tokens that its team hands on.

A build draws a sample by the order of a digest. A late registration may come first in that order
and would push out a case that is being reviewed: what a hospital's file has listed once stays in
the next one, as long as it is a case at all, and only the rest of the quota is drawn.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from pathlib import Path

import duckdb
import pyarrow as pa

from governance.errors import PublicationError
from governance.files import write_whole
from governance.settings import Settings

WORKLIST = "rpt_ed_review_worklist"
LIST_MODE = 0o600
_QUARTER = re.compile(r"(\d{4})-Q([1-4])")

# Every case that may be reviewed; the hospital's file gets the drawn ones.
OWN_WORKLIST = """
    select
        index_visit_key, return_visit_key, hospital_key, reason_code, sample_number, quota_count,
        is_return_elsewhere, is_quarter_open, quarter_on
    from warehouse.marts.rpt_ed_review_worklist
    where hospital_key = $hospital
"""
_DRAWN = """
    select cases.* exclude (is_listed, place)
    from (
        select
            cases.*,
            listed.index_visit_key is not null as is_listed,
            row_number() over (
                partition by cases.quarter_on, cases.reason_code
                order by listed.index_visit_key is null, cases.sample_number
            ) as place
        from cases
        left join listed using (index_visit_key)
    ) as cases
    where reason_code = 'sentinel' or is_listed or (not is_quarter_open and place <= quota_count)
"""


def write_worklist(con: duckdb.DuckDBPyConnection, hospital: str, before: Path) -> None:
    """Write what a hospital reviews into the file being written.

    Args:
        con: has the warehouse attached, and the file being written as ``output``.
        hospital: the hospital's key.
        before: the hospital's last file; it need not exist.
    """
    con.execute(f"create or replace temp table cases as {OWN_WORKLIST}", {"hospital": hospital})
    con.register("listed", pa.table({"index_visit_key": pa.array(_listed(before), pa.string())}))
    con.execute(f"create table output.own.{WORKLIST} as {_DRAWN} order by all")
    con.unregister("listed")


def _listed(file: Path) -> list[str]:
    """Return the index visits that a hospital's file lists; none where there is no file."""
    if not file.is_file():
        return []
    # Under a name of its own: a page in this process may hold the file open, locked down.
    name = file.with_name(".worklist.tmp")
    name.unlink(missing_ok=True)
    os.link(file.resolve(), name)
    try:
        with duckdb.connect(str(name), read_only=True) as con:
            has_worklist = con.execute(
                "select 1 from duckdb_tables() where schema_name = 'own' and table_name = $1",
                [WORKLIST],
            ).fetchall()
            if not has_worklist:
                return []
            rows = con.execute(f"select index_visit_key from own.{WORKLIST}").fetchall()
            return [str(row[0]) for row in rows]
    finally:
        name.unlink()


def quarter_of(text: str) -> dt.date:
    """Return the first day of a quarter written as ``2026-Q1``.

    Raises:
        PublicationError: it is not written so.
    """
    match = _QUARTER.fullmatch(text)
    if match is None:
        raise PublicationError(f"{text!r} is no quarter: write it as 2026-Q1.")
    return dt.date(int(match[1]), 3 * int(match[2]) - 2, 1)


def export_worklist(settings: Settings, hospital: str, quarter: str, path: Path) -> int:
    """Write the tokens of a hospital's quarter, one a line, as ``vault request`` reads them.

    Index visits, and those returns that were to the same hospital: the broker answers for one
    hospital at a time.

    Returns:
        How many tokens there are.

    Raises:
        PublicationError: the hospital has no published file, it has no worklist of the quarter, or
            the quarter is not written as one.
    """
    quarter_on = quarter_of(quarter)
    current = settings.operational / hospital / "current.duckdb"
    if "/" in hospital or not current.is_file():
        raise PublicationError(
            f"There is no file of hospital {hospital} in {settings.operational} that this account "
            "may read: name a hospital of yours, or run `scutari publish`."
        )
    try:
        with duckdb.connect(str(current), read_only=True) as con:
            rows = con.execute(
                f"select index_visit_key, return_visit_key from own.{WORKLIST} "
                "where quarter_on = $1 order by all",
                [quarter_on],
            ).fetchall()
    except duckdb.Error:
        raise PublicationError(
            f"{current} holds no worklist: run `scutari publish` with this version."
        ) from None
    # One visit can be the return of one pair and the index of the next.
    tokens = sorted({token for row in rows for token in row if token is not None})
    if not tokens:
        raise PublicationError(
            f"The worklist of hospital {hospital} has no case of {quarter}: a quarter is sampled "
            "once it is closed, and has then what the last publication listed."
        )
    write_whole(path, "".join(f"{token}\n" for token in tokens).encode("ascii"), LIST_MODE)
    return len(tokens)

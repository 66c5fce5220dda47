"""What has been published of chart reviews stays, for good: a closed half-year is final.

A case counts in the half-year of its first review and never moves. What may still change is what a
reconciled review finds, and that a person is erased: single cases, which two publications side by
side would show. So no half-year is revised.
"""

from __future__ import annotations

import duckdb

TABLE = "rpt_ed_audits_network"


def merge_audits(
    con: duckdb.DuckDBPyConnection, fresh: str, history: str, before: str | None, *, is_lost: bool
) -> None:
    """Put what was published of each half-year in the place of the new build's figures.

    Args:
        con: holds the new build's table in the schema ``fresh``.
        fresh: the schema of the new build's tables.
        history: the schema that is filled with every half-year published so far.
        before: the same of the last publication; None where it had none.
        is_lost: what was published is lost: nothing is shown of what is closed by now.
    """
    new, kept = f"{fresh}.{TABLE}", f"{history}.{TABLE}"
    if is_lost:
        con.execute(
            f"update {new} set of_count = null, found_count = null, is_suppressed = true, "
            "suppression_code = 'frozen_period'"
        )
    con.execute(f"create table {kept} as from {before or f'{new} limit 0'}")
    con.execute(
        f"insert into {kept} by name select * from {new} "
        f"where period_on not in (select period_on from {kept})"
    )
    # Of the half-years that this build has: an older snapshot does not show what came after it.
    con.execute(
        f"create or replace table {new} as "
        f"select * from {kept} where period_on in (select period_on from {new})"
    )

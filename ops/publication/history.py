"""Everything published so far, kept in the published file itself, and what follows from it.

Each network file holds in its schema ``history`` every figure of a closed period that any
publication has shown. It is written in the file's own transaction and appears under the same
rename: no kill can part the two. Nothing in it was not public; what counts is that none is missing.
The audit log names the digest of the last file published, and each file the digests of all before
it: a publication that does not extend the last one is refused.
"""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from extract.lake import sha256_of
from governance.audit.verify import read_own_log
from governance.errors import PublicationError
from governance.settings import Settings
from ops.publication import audit_history
from ops.publication.frozen_cells import FROZEN, OPEN, Figures, freeze, latest_closed

# Where a new build's tables wait in memory until they are merged: of what is not shown nothing may
# lie in the free blocks of a published file.
FRESH = "memory.fresh"
HISTORY = "memory.history"
MONTHLY = ("rpt_ed_returns_monthly", "month_on")
HALF_YEARLY = ("rpt_ed_returns_half_yearly", "period_on")
# Claims are final when their time to run out is over: keys of a row, and of what is frozen at once.
CLAIMS_BLOCK = ("payer_key", "month_on")
CLAIMS = {
    "rpt_claims_monthly": CLAIMS_BLOCK,
    "rpt_member_months": (*CLAIMS_BLOCK, "product_code", "member_month_rule_code"),
}
# What a measure counts. Its name, source and description may be put better.
MEASURE_DEFINITION = """
    md5(concat_ws(
        '|', window_hours, requires_admission, requires_same_hospital,
        coalesce(return_diagnosis_group_code, '-'), coalesce(index_diagnosis_group_code, '-'),
        coalesce(maximum_age_years, -1), 'ends ' || return_outcome_code,
        'from ' || minimum_age_years, 'pairs ' || nullif(pairing_code, 'after_discharge_home')
    ))
"""
WAY_OUT = (
    "restore the file from the backup and link current.duckdb to it; if there is no copy of it "
    "anywhere, `scutari publish --history-lost` publishes on and shows no period closed before "
    "today"
)


@dataclass(frozen=True)
class Past:
    """The last publication.

    Attributes:
        file: a copy of the network file, or None before the first publication.
        sha256: its digest.
        is_lost: there have been others, and none of them is left.
    """

    file: Path | None
    sha256: str | None
    is_lost: bool = False


@contextmanager
def past_publication(settings: Settings, *, is_lost: bool) -> Iterator[Past]:
    """Give the last publication, or refuse where it is not the last one.

    Args:
        settings: the installation.
        is_lost: the operator says that its file is lost for good.

    Raises:
        PublicationError: the file that the audit log names is missing, or is another one.
    """
    current = settings.published / "current.duckdb"
    copy = settings.published / ".past"
    try:
        # A reader in this process may hold the file itself open, locked down as it must be.
        file = Path(shutil.copyfile(current, copy)) if current.is_file() else None
        yield _checked(settings, current, file, is_lost=is_lost)
    finally:
        copy.unlink(missing_ok=True)


def _checked(settings: Settings, current: Path, file: Path | None, *, is_lost: bool) -> Past:
    digest = sha256_of(file) if file else None
    last = _last_digest(settings)
    if is_lost:
        kept = [] if file is None or not _keeps_history(file) else [digest, *_digests(file)]
        if last is None or last in kept:
            raise PublicationError(
                "Nothing was published: the last publication is not lost; publish without "
                "--history-lost."
            )
        return Past(None, None, is_lost=True)
    if settings.is_synthetic and (file is None or not _keeps_history(file)):
        return Past(None, None)  # Made-up persons: nothing was shown of anybody.
    _refuse_unless_last(current, file, digest, last)
    return Past(file, digest)


def _refuse_unless_last(
    current: Path, file: Path | None, digest: str | None, last: str | None
) -> None:
    if file is None:
        if last is None:
            return
        raise PublicationError(
            f"Nothing was published: {current} is missing, and what has been published so far "
            f"with it (SHA-256 {last}): {WAY_OUT}."
        )
    if not _keeps_history(file):
        raise PublicationError(
            f"Nothing was published: {current} is of a version that did not keep what it had "
            f"published: publish with --history-lost, which shows no period closed "
            "before today."
        )
    if last not in (None, digest, *_digests(file)):
        raise PublicationError(
            f"Nothing was published: {current} is not the last publication (SHA-256 {last}), and "
            f"what was shown since would be forgotten: {WAY_OUT}."
        )


def _last_digest(settings: Settings) -> str | None:
    log = read_own_log(settings)
    found = None
    for entry in log.entries if log else ():
        if entry.event == "publish":
            found = entry.parameters.get("network_sha256", found)
    return None if found is None else str(found)


def _keeps_history(file: Path) -> bool:
    with duckdb.connect(str(file), read_only=True) as con:
        rows = con.execute(
            "select 1 from duckdb_tables() where schema_name = 'history' "
            "and table_name = 'publications'"
        ).fetchall()
    return bool(rows)


def _digests(file: Path) -> list[str]:
    """Return the digests of all publications that a file builds upon."""
    if not _keeps_history(file):
        return []
    with duckdb.connect(str(file), read_only=True) as con:
        found = con.execute("select network_sha256 from history.publications").fetchall()
    return [str(row[0]) for row in found]


def merge_history(con: duckdb.DuckDBPyConnection, past: Past, published_at: dt.datetime) -> None:
    """Put what was published before in the place of a new build's figures.

    Args:
        con: holds the new build's published tables in ``memory.fresh``; its ``memory.history``
            is filled with everything published so far, this publication included.
        past: the last publication.
        published_at: the time of this one.
    """
    con.execute("create schema memory.history")
    if past.file is not None:
        name = str(past.file).replace("'", "''")
        con.execute(f"attach '{name}' as past (read_only)")
    try:
        _merge_ed_returns(con, past, published_at)
        merge_claims(con, past)
        before = audit_history.TABLE if _has_history(con, audit_history.TABLE) else None
        audit_history.merge_audits(
            con, FRESH, HISTORY, before and f"past.history.{before}", is_lost=past.is_lost
        )
        _merge_totals(con, past)
        _note_publication(con, past)
    finally:
        if past.file is not None:
            con.execute("detach past")


def may_revise(
    half_years: Sequence[Figures],
    past_months: Sequence[Figures],
    past_half_years: Sequence[Figures],
) -> bool:
    """Tell whether a half-year has been closed since the last publication.

    Args:
        half_years: those of the new build.
        past_months: the months shown before.
        past_half_years: the half-years shown before.
    """
    closed, closed_before = latest_closed(half_years), latest_closed(past_half_years)
    if closed is None or not past_months:
        return False
    return closed_before is None or closed > closed_before


def _has_history(con: duckdb.DuckDBPyConnection, table: str) -> bool:
    found = con.execute(
        "select 1 from duckdb_tables() where database_name = 'past' and schema_name = 'history' "
        "and table_name = $1",
        [table],
    ).fetchall()
    return bool(found)


def _merge_ed_returns(
    con: duckdb.DuckDBPyConnection, past: Past, published_at: dt.datetime
) -> None:
    builds = [_read(con, FRESH, *which) for which in (MONTHLY, HALF_YEARLY)]
    pasts = [
        _read(con, "past.history", *which) if _has_history(con, which[0]) else []
        for which in (MONTHLY, HALF_YEARLY)
    ]
    shown = freeze(*builds, *pasts, may_revise=may_revise(builds[1], *pasts))
    rows, new = [shown.months, shown.half_years], [shown.new_months, shown.new_half_years]
    if past.is_lost:
        rows = [[_withheld(row) for row in table] for table in rows]
        new = [[_withheld(row) for row in table] for table in new]
    for which, table, of_past, unseen in zip((MONTHLY, HALF_YEARLY), rows, pasts, new, strict=True):
        _write(con, f"{FRESH}.{which[0]}", which[1], table, is_history=False)
        stamped = [*of_past, *unseen]
        _write(con, f"{HISTORY}.{which[0]}", which[1], stamped, published_at)


def _withheld(row: Figures) -> Figures:
    return row if row.suppression_code == OPEN else row.hidden()


def _read(con: duckdb.DuckDBPyConnection, schema: str, table: str, period: str) -> list[Figures]:
    cells = f"{schema}.{table}"
    if schema == FRESH:
        source = (
            f"select cells.*, {MEASURE_DEFINITION} as definition, "
            f"cast(null as timestamp) as published_at from {cells} as cells "
            f"left join {FRESH}.measures as measures using (measure_code)"
        )
    else:
        source = f"select * from {cells}"
    rows = con.execute(
        f"select hospital_key, {period}, measure_code, numerator_count, index_visits_count, "
        f"all_visits_count, suppression_code, data_through_at, definition, published_at "
        f"from ({source}) order by all"
    ).fetchall()
    return [Figures(*row) for row in rows]


def _write(
    con: duckdb.DuckDBPyConnection,
    name: str,
    period: str,
    rows: Sequence[Figures],
    published_at: dt.datetime | None = None,
    *,
    is_history: bool = True,
) -> None:
    schema = pa.schema(
        [
            ("hospital_key", pa.string()),
            ("measure_code", pa.string()),
            ("suppression_code", pa.string()),
            ("numerator_count", pa.int64()),
            ("index_visits_count", pa.int64()),
            ("all_visits_count", pa.int64()),
            ("is_suppressed", pa.bool_()),
            (period, pa.date32()),
            ("data_through_at", pa.timestamp("us")),
            ("definition", pa.string()),
            ("published_at", pa.timestamp("us")),
        ]
    )
    columns = {
        "hospital_key": [row.hospital_key for row in rows],
        "measure_code": [row.measure_code for row in rows],
        "suppression_code": [row.suppression_code for row in rows],
        "numerator_count": [row.numerator for row in rows],
        "index_visits_count": [row.index_visits for row in rows],
        "all_visits_count": [row.all_visits for row in rows],
        "is_suppressed": [row.numerator is None for row in rows],
        period: [row.period_on for row in rows],
        "data_through_at": [row.data_through_at for row in rows],
        "definition": [row.definition for row in rows],
        "published_at": [row.published_at or published_at for row in rows],
    }
    kept = "*" if is_history else "* exclude (definition, published_at)"
    con.register("figures", pa.table(columns, schema=schema))
    con.execute(f"create or replace table {name} as select {kept} from figures")
    con.unregister("figures")


def merge_claims(con: duckdb.DuckDBPyConnection, past: Past) -> None:
    """Show of every month that was published before what was published; no claim is revised."""
    block = ", ".join(CLAIMS_BLOCK)
    known = f"select {block} from {FRESH}.rpt_claims_monthly where false"
    if past.is_lost:
        known = f"select {block} from {FRESH}.rpt_claims_monthly where {_is_closed()}"
    elif _has_history(con, "rpt_claims_monthly"):
        known = f"select {block} from past.history.rpt_claims_monthly"
    con.execute(f"create temp table known as select distinct {block} from ({known})")
    for table, keys in CLAIMS.items():
        fresh = f"{FRESH}.{table}"
        before = f"past.history.{table}" if _has_history(con, table) else f"{fresh} limit 0"
        con.execute(f"create table {HISTORY}.{table} as from {before}")
        con.execute(f"create or replace temp table merged as {_merged_claims(con, table, keys)}")
        con.execute(
            f"insert into {HISTORY}.{table} by name select * from merged as shown "
            f"where {_is_closed()} and not exists (select 1 from {HISTORY}.{table} as before "
            f"where {_same('shown', 'before', keys)})"
        )
        con.execute(f"create or replace table {fresh} as from merged")
    con.execute("drop table merged")
    con.execute("drop table known")


def _merged_claims(con: duckdb.DuckDBPyConnection, table: str, keys: Sequence[str]) -> str:
    columns = []
    for name, kind, *_ in con.execute(f"describe {FRESH}.{table}").fetchall():
        before = f"before.{name}"
        if name == "suppression_code":
            before = f"case when before.is_before then before.{name} else '{FROZEN}' end"
        elif kind == "BOOLEAN":
            before = f"coalesce(before.{name}, true)"
        columns.append(
            f"fresh.{name}"
            if name in keys
            else f"case when is_known is null or not {_is_closed('fresh')} then fresh.{name} "
            f"else {before} end as {name}"
        )
    return (
        f"select {', '.join(columns)} from {FRESH}.{table} as fresh "
        "left join (select *, true as is_known from known) as known "
        f"on {_same('fresh', 'known', CLAIMS_BLOCK)} "
        f"left join (select *, true as is_before from {HISTORY}.{table}) as before "
        f"on {_same('fresh', 'before', keys)}"
    )


def _is_closed(table: str = "") -> str:
    column = f"{table}.suppression_code" if table else "suppression_code"
    return f"({column} is distinct from '{OPEN}')"


def _same(one: str, other: str, keys: Sequence[str]) -> str:
    return " and ".join(f"{one}.{key} is not distinct from {other}.{key}" for key in keys)


def _merge_totals(con: duckdb.DuckDBPyConnection, past: Past) -> None:
    """Keep totals to date until another month is closed.

    They are rounded up to tens. Read every night, the night on which one steps from 120 to 130
    would tell it exactly; read once a month, it tells that 1 to 19 came.
    """
    con.execute(
        f"create table {HISTORY}.totals as select data_through_at from {FRESH}.rpt_snapshot"
    )
    if past.file is None or not _has_history(con, "totals") or _is_month_new(con):
        return
    con.execute(f"create or replace table {HISTORY}.totals as from past.history.totals")
    con.execute(
        f"create or replace table {FRESH}.rpt_ed_returns_attrition as "
        "from past.main.rpt_ed_returns_attrition"
    )
    # A new version of a cohort is another one: its steps are shown at once.
    con.execute(
        f"create or replace temp table kept as select cohort_code from {FRESH}.dim_cohorts as new "
        f"inner join past.main.dim_cohorts as old using (cohort_code) "
        f"where {_cohort('new')} = {_cohort('old')}"
    )
    con.execute(
        f"create or replace table {FRESH}.rpt_cohort_attrition as "
        f"select * from {FRESH}.rpt_cohort_attrition anti join kept using (cohort_code) "
        "union all by name "
        "select * from past.main.rpt_cohort_attrition semi join kept using (cohort_code)"
    )
    con.execute("drop table kept")


def _cohort(table: str) -> str:
    return f"concat_ws('|', {table}.version_number, {table}.status_code, {table}.definition)"


def _is_month_new(con: duckdb.DuckDBPyConnection) -> bool:
    newest = [
        con.execute(
            f"select max(month_on) from {schema}.rpt_ed_returns_monthly where {_is_closed()}"
        ).fetchall()[0][0]
        for schema in (FRESH, "past.history")
    ]
    return newest[0] is not None and (newest[1] is None or newest[0] > newest[1])


def _note_publication(con: duckdb.DuckDBPyConnection, past: Past) -> None:
    """Name all files before this one, so that the next knows whether it extends the last."""
    con.execute(
        f"create table {HISTORY}.publications (published_at timestamp, network_sha256 varchar)"
    )
    if past.file is None:
        return
    if _has_history(con, "publications"):
        con.execute(f"insert into {HISTORY}.publications from past.history.publications")
    con.execute(
        f"insert into {HISTORY}.publications select published_at, $1 from past.main.publication",
        [past.sha256],
    )


def forget_publications(settings: Settings) -> None:
    """Remove what a synthetic installation has published: its next network is another world.

    Raises:
        PublicationError: the installation is a real one.
    """
    if not settings.is_synthetic:
        raise PublicationError(
            "Nothing was removed: what a real installation has published is not forgotten."
        )
    # The hospitals' files too: they say which cases were listed.
    hospitals = settings.operational.glob("*/*.duckdb")
    for path in (*settings.published.glob("*.duckdb"), *hospitals):
        path.unlink()

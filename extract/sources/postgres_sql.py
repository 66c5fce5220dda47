"""The queries that are put to a PostgreSQL source, and how their answers are read.

The queries speak of one table: ``name`` is its quoted and qualified name, ``types`` what the
catalogue says of its columns. A session's time zone is UTC and its date style ISO.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from extract.contracts import ColumnContract, TableContract
from extract.sources.base import NO_PERIOD, WHOLE_TABLE, PartitionProfile

INSTANT = "timestamp with time zone"
LOCAL_CLOCK = "timestamp without time zone"

# First instant in, first instant out. Infinity is greater than any other value: it is out.
_FIRST, _END = "0001-01-01", "10000-01-01"
# A local clock's year 1 may begin in year 0 of UTC.
_LOCAL_FIRST, _LOCAL_END = "0001-01-03", "9999-12-30"
_PERIOD = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_MONTHS = 12
# No column of a contract has such a name.
_MONTH = '"month of the row"'


def quoted(name: str) -> str:
    """Return a name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """Return text as a string literal."""
    return "'" + text.replace("'", "''") + "'"


def base_type(database_type: str) -> str:
    """Return a type as the catalogue formats it, without modifier and schema."""
    return re.sub(r"\([^)]*\)", "", database_type).rpartition(".")[2]


def catalogue_query(schema: str, table: str) -> str:
    """Return the query for a table's columns: name, type, whether null-free, whether unique.

    Constraints and indexes of a table do not bind the tables that inherit from it, and foreign
    tables' are only hoped for: neither is taken at its word.
    """
    return f"""
        select
            a.attname::text,
            case t.typtype
                when 'd' then format_type(t.typbasetype, t.typtypmod)
                when 'e' then 'enum'
                else format_type(a.atttypid, a.atttypmod)
            end,
            a.attnotnull
                and (c.relkind = 'p' or (c.relkind = 'r' and not c.relhassubclass))
                and not exists (
                    select from pg_catalog.pg_constraint as k
                    where k.conrelid = c.oid and k.contype = 'n' and not k.convalidated
                        and a.attnum = any(k.conkey)
                ),
            (c.relkind = 'p' or (c.relkind = 'r' and not c.relhassubclass))
                and exists (
                    select from pg_catalog.pg_index as i
                    where i.indrelid = c.oid and i.indisunique and i.indisvalid
                        and i.indpred is null and i.indnkeyatts = 1 and i.indkey[0] = a.attnum
                )
        from pg_catalog.pg_class as c
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        join pg_catalog.pg_attribute as a on a.attrelid = c.oid
        join pg_catalog.pg_type as t on t.oid = a.atttypid
        where n.nspname = {literal(schema)} and c.relname = {literal(table)}
            and c.relkind in ('r', 'p', 'v', 'm', 'f') and a.attnum > 0 and not a.attisdropped
        order by a.attnum
    """


def same_storage_query(schema: str, table: str) -> str:
    """Return the query whether a table is now what it was as of the snapshot.

    ``pg_class`` answers as of the snapshot, the functions as of now.
    """
    name = literal(f"{quoted(schema)}.{quoted(table)}")
    return f"""
        select coalesce(
            c.oid = to_regclass({name})
            and (c.relkind <> 'r' or c.relfilenode = pg_relation_filenode(c.oid)),
            false
        )
        from pg_catalog.pg_class as c
        join pg_catalog.pg_namespace as n on n.oid = c.relnamespace
        where n.nspname = {literal(schema)} and c.relname = {literal(table)}
    """


def profile_query(
    table: TableContract,
    name: str,
    types: Mapping[str, str],
    counted: Sequence[ColumnContract],
) -> str:
    """Return the query with one row per period, to be read by ``partition_profile``.

    Args:
        table: the contract.
        name: the table's name.
        types: database type per column.
        counted: the columns in which nulls are counted.
    """
    key = _value(table.key)
    summed = [column for column in table.lake_columns if column.is_summed]
    parts = ["count(*)", f"min({key})", f"max({key})"]
    parts += [f"count(*) - count({quoted(column.name)})" for column in counted]
    parts += [_sum(column, types) for column in summed]
    if table.cursor is not None:
        cursor = quoted(table.cursor)
        parts += [f"min({cursor})::text", f"max({cursor})::text"]
        # Bound to its key, so that two rows that exchange their cursors are a change, too.
        hashed = f"timestamp_hash_extended({cursor}::timestamp, {_seed(table.key)})"
        parts.append(f"count({cursor})::text || '|' || coalesce(sum({hashed}), 0)::text")
    month = _month(table, types)
    if month is None:
        return f"select '{WHOLE_TABLE}', {', '.join(parts)} from {name}"
    asked = {table.primary_key, table.cursor} | {column.name for column in (*counted, *summed)}
    columns = ", ".join(quoted(c.name) for c in table.read_columns if c.name in asked)
    rows = f"select {columns}, {month} as {_MONTH} from {name}"
    # The planner takes a table's months for as many as its instants, and would sort all rows on
    # disk to group them. Of the months of a union it knows nothing and expects few: it groups the
    # rows as they come, on every processor that it may use.
    return (
        f"select coalesce(to_char({_MONTH}, 'YYYY-MM'), '{NO_PERIOD}'), {', '.join(parts)}"
        f" from ({rows} union all {rows} where false) as dated group by {_MONTH} order by 1"
    )


def partition_profile(
    table: TableContract, counted: Sequence[ColumnContract], row: Sequence[Any]
) -> PartitionProfile:
    """Read one row of the answer to ``profile_query``."""
    period, row_count, key_minimum, key_maximum, *rest = row
    summed = [column for column in table.lake_columns if column.is_summed]
    nulls, rest = rest[: len(counted)], rest[len(counted) :]
    sums, cursor = rest[: len(summed)], rest[len(summed) :]
    null_counts = dict.fromkeys((column.name for column in table.lake_columns), 0)
    null_counts.update(zip((column.name for column in counted), nulls, strict=True))
    return PartitionProfile(
        period=period,
        row_count=row_count,
        key_minimum=key_minimum,
        key_maximum=key_maximum,
        null_counts=null_counts,
        sums={
            column.name: Decimal(text) if column.data_type.startswith("decimal") else int(text)
            for column, text in zip(summed, sums, strict=True)
        },
        cursor_state="|".join(str(part) for part in cursor),
    )


def duplicates_query(table: TableContract, name: str) -> str:
    """Return the query for the number of primary keys that occur more than once."""
    key = _value(table.key)
    return (
        f"select count(*) from (select from {name} where {quoted(table.primary_key)} is not null"
        f" group by {key} having count(*) > 1) as repeated"
    )


def read_query(table: TableContract, name: str, types: Mapping[str, str], period: str) -> str:
    """Return the query for the declared columns of the rows that the profile put in a period."""
    parts = ", ".join(_read(column, types) for column in table.read_columns)
    predicate = "" if period == WHOLE_TABLE else f" where {_predicate(table, types, period)}"
    return f"select {parts} from {name}{predicate}"


def _value(column: ColumnContract) -> str:
    """A key as it is compared: integers as such, anything else as text in byte order."""
    if column.source_type in ("int", "bigint"):
        return quoted(column.name)
    return f'{quoted(column.name)}::text collate "C"'


def _seed(key: ColumnContract) -> str:
    if key.source_type in ("int", "bigint"):
        return f"{quoted(key.name)}::bigint"
    return f"hashtextextended({_value(key)}, 0)"


def _read(column: ColumnContract, types: Mapping[str, str]) -> str:
    """Return what is selected for a column.

    Text and numeric come in the server's own words (of a ``char(n)`` without the blanks that pad
    it): the driver would spell a numeric out more slowly, and a uuid as bytes.
    """
    name = quoted(column.name)
    if column.source_type == "string" or base_type(types[column.name]) == "numeric":
        return f"{name}::text as {name}"
    return name


def _sum(column: ColumnContract, types: Mapping[str, str]) -> str:
    name = quoted(column.name)
    # NaN and the infinities; the name Infinity itself is unknown before PostgreSQL 14.
    is_number = (
        f" filter (where {name} - {name} = 0)" if base_type(types[column.name]) == "numeric" else ""
    )
    return f"coalesce(sum({name}){is_number}, 0)::text"


def _bounds(kind: str) -> tuple[str, str, str]:
    """The SQL type of a partition column's literals, and where the months begin and end."""
    if kind == LOCAL_CLOCK:
        return "timestamp", _LOCAL_FIRST, _LOCAL_END
    return ("date" if kind == "date" else "timestamptz"), _FIRST, _END


def _month(table: TableContract, types: Mapping[str, str]) -> str | None:
    """The first of the month of the partition column in UTC; null where there is none."""
    if table.partition_by is None:
        return None
    name, kind = quoted(table.partition_by), base_type(types[table.partition_by])
    literal_type, first, end = _bounds(kind)
    moment = f"{name}::timestamp"
    if kind == INSTANT:
        moment = f"{name} at time zone 'UTC'"
    elif kind == LOCAL_CLOCK:
        moment = f"{_instant(table)} at time zone 'UTC'"
    return (
        f"case when {name} >= {literal_type} '{first}' and {name} < {literal_type} '{end}'"
        f" then date_trunc('month', {moment}) end"
    )


def _instant(table: TableContract) -> str:
    column = table.by_name[table.partition_by or ""]
    return f"({quoted(column.name)} at time zone {literal(column.time_zone or 'UTC')})"


def _predicate(table: TableContract, types: Mapping[str, str], period: str) -> str:
    """The rows of a period, as a range of the bare column: an index can answer it."""
    name = quoted(table.partition_by or "")
    kind = base_type(types[table.partition_by or ""])
    literal_type, first, end = _bounds(kind)
    if period == NO_PERIOD:
        outside = f"{name} < {literal_type} '{first}' or {name} >= {literal_type} '{end}'"
        return f"{name} is null or {outside}"
    match = _PERIOD.fullmatch(period)
    if match is None:
        raise ValueError(f"{period} is no period: YYYY-MM, {NO_PERIOD} or {WHOLE_TABLE}")
    year, month = int(match[1]), int(match[2])
    start = f"{year:04}-{month:02}-01"
    after = f"{year + month // _MONTHS:04}-{month % _MONTHS + 1:02}-01"
    if kind != LOCAL_CLOCK:
        return f"{name} >= {literal_type} '{start}' and {name} < {literal_type} '{after}'"
    # No zone is a day from UTC: the range on the column is for the index, the instant decides.
    return (
        f"{name} >= timestamp '{first}' and {name} < timestamp '{end}'"
        f" and {name} >= timestamp '{start}' - interval '1 day'"
        f" and {name} < timestamp '{after}' + interval '1 day'"
        f" and {_instant(table)} >= timestamptz '{start}'"
        f" and {_instant(table)} < timestamptz '{after}'"
    )

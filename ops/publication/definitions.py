"""What measures of ED returns count, in every version that has been published, and what changed.

The published file keeps the rules of each definition in its schema ``history``: a month published
under one definition is never shown as if it were counted by another. The digest of the rules tells
definitions apart; their names, sources and descriptions may be put better without a new series.
"""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

LIST_ITEMS_NAMED = 6
# Of the rules; a rule that restricts nothing has no row (published__measure_rules).
_DEFINITION = "md5(string_agg(rule_code || '=' || rule_value, '|' order by rule_code))"
# How a file of an earlier version tells definitions apart: it knew the measure's row alone.
EARLIER_DEFINITION = """
    md5(concat_ws(
        '|', window_hours, requires_admission, requires_same_hospital,
        coalesce(return_diagnosis_group_code, '-'), coalesce(index_diagnosis_group_code, '-'),
        coalesce(maximum_age_years, -1), 'ends ' || return_outcome_code,
        'from ' || minimum_age_years, 'pairs ' || nullif(pairing_code, 'after_discharge_home'),
        'no return ' || return_exclusion_group_code, 'no index ' || index_exclusion_group_code,
        case when not requires_complete_follow_up then 'not followed' end,
        case when not requires_known_outcome then 'not known' end
    ))
"""
# What a rule without a row says, where that is neither no nor any.
_ABSENT = {"pairing_code": "after discharge home"}
CHANGES = "measure_definitions"
RULES = "measure_rules"


@dataclass(frozen=True)
class Rule:
    """One rule of a definition, in words.

    Attributes:
        name: what it is about.
        value: what it says.
        unit: of a number.
        list_name: the list that it is an item of.
    """

    name: str
    value: str
    unit: str | None = None
    list_name: str | None = None


Rules = Mapping[str, Rule]
# Reads a published file: a query and its parameters, rows by column.
Reader = Callable[[str, tuple[Any, ...]], Sequence[Mapping[str, Any]]]
NOT_KEPT = "the former definition was published by a version of Scutari that kept no rules"


@dataclass(frozen=True)
class Definition:
    """What a measure counts from one publication on.

    Attributes:
        published_at: of that publication.
        digest: of its rules.
        rules: None where the file that published it did not keep them.
    """

    published_at: dt.datetime
    digest: str
    rules: Rules | None


def read_definitions(read: Reader, measure: str) -> tuple[Definition, ...]:
    """Return the definitions of a measure in their order, the last one that of today.

    None are found in a file of a version that did not keep them.
    """
    tables = "select 1 from duckdb_tables() where schema_name = 'history' and table_name = $1"
    if not read(tables, (CHANGES,)):
        return ()
    rules: dict[str, dict[str, Rule]] = {}
    for row in read(f"select * from history.{RULES} where measure_code = $1", (measure,)):
        rule = Rule(row["rule_name"], row["rule_value"], row["unit"], row["list_name"])
        rules.setdefault(row["definition"], {})[row["rule_code"]] = rule
    found = read(
        f"select * from history.{CHANGES} where measure_code = $1 order by published_at", (measure,)
    )
    return tuple(
        Definition(row["published_at"], row["definition"], rules.get(row["definition"]))
        for row in found
    )


def definition_changes(
    definitions: Sequence[Definition],
) -> tuple[tuple[dt.datetime, tuple[str, ...]], ...]:
    """Return each change: the publication that made it, and what changed in words."""
    return tuple(
        (after.published_at, _between(before, after))
        for before, after in itertools.pairwise(definitions)
    )


def changes_since(definitions: Sequence[Definition], digest: str) -> tuple[str, ...]:
    """Say what a measure counts otherwise today than under a former definition; or nothing."""
    last = definitions[-1]
    former = next((of for of in definitions if of.digest == digest), None)
    if digest == last.digest:
        return ()
    return (NOT_KEPT,) if former is None else _between(former, last)


def _between(before: Definition, after: Definition) -> tuple[str, ...]:
    if before.rules is None or after.rules is None:
        return (NOT_KEPT,)
    return changed_rules(before.rules, after.rules)


def changed_rules(before: Rules, after: Rules) -> tuple[str, ...]:
    """Say which rules of a definition changed, each with its old and new value.

    Args:
        before: the rules by their codes; a rule without a row restricts nothing.
        after: the same, later.
    """
    found = []
    lists: dict[str, list[str]] = {}
    for code in sorted({*before, *after}):
        old, new = before.get(code), after.get(code)
        rule = new or old
        if rule is None or (old and new and old.value == new.value):
            continue
        if rule.list_name is None:
            found.append(_change(code, rule, old, new))
        else:
            lists.setdefault(rule.list_name, []).append(_item(rule, old, new))
    return (*found, *(f"{name}: {_shortened(items)}" for name, items in lists.items()))


def _change(code: str, rule: Rule, old: Rule | None, new: Rule | None) -> str:
    absent = _ABSENT.get(code, "no" if rule.value == "yes" else "any")
    values = [absent if of is None else of.value for of in (old, new)]
    unit = f" {rule.unit}" if rule.unit else ""
    return f"{rule.name} {values[0]} \N{RIGHTWARDS ARROW} {values[1]}{unit}"


def _item(rule: Rule, old: Rule | None, new: Rule | None) -> str:
    if old is None or new is None:
        return f"{rule.name} ({rule.value}) {'added' if old is None else 'removed'}"
    return f"{rule.name} {old.value} \N{RIGHTWARDS ARROW} {new.value}"


def _shortened(items: list[str]) -> str:
    more = len(items) - LIST_ITEMS_NAMED
    named = ", ".join(items[:LIST_ITEMS_NAMED])
    return named if more <= 0 else f"{named} and {more} more"


def note_definitions(
    con: duckdb.DuckDBPyConnection,
    fresh: str,
    history: str,
    past: str | None,
    published_at: dt.datetime,
) -> None:
    """Keep the definitions of this publication beside those of all before.

    Writes two tables into the history: one row per measure and publication that defined it anew,
    and the rules of each definition. Leaves ``definitions`` behind: per measure of the new build
    the digest, and the digest that an earlier version made of it.

    Args:
        con: the publication's connection.
        fresh: the schema with the new build's tables.
        history: the schema to write into.
        past: the schema of the past with a history; None where nothing was published.
        published_at: the time of this publication.
    """
    con.execute(
        f"create or replace temp table definitions as select measure_code, {_DEFINITION} as "
        f"definition, any_value(earlier) as earlier from {fresh}.{RULES} inner join (select "
        f"measure_code, {EARLIER_DEFINITION} as earlier from {fresh}.measures) "
        "using (measure_code) group by measure_code"
    )
    is_kept = past is not None and keeps_definitions(con, past)
    rules = f"select definitions.definition, {RULES}.* from {fresh}.{RULES} inner join definitions"
    rules += " using (measure_code)"
    source = f"{past}.{RULES}" if is_kept else f"({rules}) limit 0"
    con.execute(f"create table {history}.{RULES} as from {source}")
    con.execute(
        f"insert into {history}.{RULES} by name from ({rules}) as new where not exists (select 1 "
        f"from {history}.{RULES} as old where (old.measure_code, old.definition) = "
        "(new.measure_code, new.definition))"
    )
    con.execute(
        f"create table {history}.{CHANGES} "
        "(published_at timestamp, measure_code varchar, definition varchar)"
    )
    if past is not None:
        con.execute(f"insert into {history}.{CHANGES} {_past_changes(past, is_kept=is_kept)}")
    con.execute(
        f"insert into {history}.{CHANGES} select $1, measure_code, definitions.definition "
        f"from definitions left join ({_latest(f'{history}.{CHANGES}')}) as last "
        "using (measure_code) where definitions.definition is distinct from last.definition",
        [published_at],
    )


def _past_changes(past: str, *, is_kept: bool) -> str:
    if is_kept:
        return f"from {past}.{CHANGES}"
    return _latest(f"({known_cells(f'{past}.rpt_ed_returns_monthly', is_kept=False)})")


def _latest(table: str) -> str:
    return (
        "select max(published_at) as published_at, measure_code, "
        f"arg_max(definition, published_at) as definition from {table} group by measure_code"
    )


def known_cells(table: str, *, is_kept: bool) -> str:
    """Return the query of past cells, with the definitions as this version tells them apart.

    A file of an earlier version did not know the rules beside the measure's row: where the row is
    the same, they are taken to be.

    Args:
        table: cells of the past.
        is_kept: its file kept the rules.
    """
    if is_kept:
        return f"select * from {table}"
    return (
        "select cells.* replace (coalesce(definitions.definition, cells.definition) as definition) "
        f"from {table} as cells left join definitions on (cells.measure_code, cells.definition) = "
        "(definitions.measure_code, definitions.earlier)"
    )


def keeps_definitions(con: duckdb.DuckDBPyConnection, schema: str) -> bool:
    """Tell whether a file's history keeps the rules of what it published."""
    database, name = schema.split(".")
    found = con.execute(
        "select 1 from duckdb_tables() where database_name = $1 and schema_name = $2 "
        "and table_name = $3",
        [database, name, CHANGES],
    ).fetchall()
    return bool(found)

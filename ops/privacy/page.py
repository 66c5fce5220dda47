"""The page of columns: what each column of a zone is made of, as the lineage check found it."""

from __future__ import annotations

from collections.abc import Iterable

import yaml

from governance.errors import PrivacyError
from governance.settings import PROJECT_ROOT
from ops.privacy.check import Lineage, ZoneTable, trace_project
from ops.privacy.flow import Fact, Facts
from ops.privacy.project import DEFAULT_PROFILE, load_project
from ops.privacy.rules import LOWERINGS, ZONES

PAGE = PROJECT_ROOT / "docs" / "privacy_columns.md"

INTRODUCTION = """\
# Columns and where they come from

This page is written by `scutari privacy check --write-docs` from the compiled models: every column
of the files that leave the warehouse, the source columns it is made of, their privacy classes, and
the lowering macros they have passed (`month (month_of)`). How it is found out and what it cannot
see: [decision 21](adr/0021-privacy-lineage.md).

- **Made of**: the column's value is made of these values.
- **Chosen by**: a `case` or an equal key in a join decides by these which value stands there.
- **Counted by**: these decide which rows are counted, joined or put first. What decides which rows
  the table has at all stands above the table.
- The tables of the release are those of the profile `open`. The other profiles are followed and
  held to the same rules, and not printed.
- A column of nothing is a count, a literal, or a number drawn for the file.
"""


def check_privacy(*, write_docs: bool = False) -> str:
    """Follow every column of every zone, and hold the page of columns to what was found.

    Args:
        write_docs: write the page instead of comparing it.

    Returns:
        What was looked at, for the command line.

    Raises:
        PrivacyError: a class reaches a zone that may not hold it, something cannot be followed, or
            the page is not what was found. The message names each column and its path.
    """
    lineage = trace_project(load_project())
    # The research models are other SQL under another profile.
    others = [trace_project(load_project(profile=name)) for name in other_profiles()]
    found = [finding for one in (lineage, *others) for finding in one.findings]
    findings = list(dict.fromkeys(found))
    if findings:
        raise PrivacyError(
            f"The lineage check refuses {len(findings)} of what it found:\n- "
            + "\n- ".join(findings)
        )
    wanted = privacy_page(lineage)
    name = PAGE.relative_to(PROJECT_ROOT)
    if write_docs:
        PAGE.write_text(wanted, encoding="utf-8")
        return f"{lineage}; written: {name}"
    if not PAGE.exists() or PAGE.read_text(encoding="utf-8") != wanted:
        raise PrivacyError(
            f"{name} is not what the models give: run `scutari privacy check --write-docs`."
        )
    return f"{lineage}; {name} is up to date"


def other_profiles() -> list[str]:
    """Return the release profiles beside the one that is compiled without asking."""
    body = yaml.safe_load((PROJECT_ROOT / "dbt_project.yml").read_text(encoding="utf-8"))
    return sorted(set(body["vars"]["release_profiles"]) - {DEFAULT_PROFILE})


def privacy_page(lineage: Lineage) -> str:
    """Return the page as Markdown."""
    lines = [INTRODUCTION, *_zones(), *_lowerings()]
    for zone in ZONES:
        tables = [table for table in lineage.tables if table.zone == zone]
        if tables:
            lines += [f"## {zone}", ""]
        for table in sorted(tables, key=lambda table: table.name):
            lines += _table(table)
    return "\n".join(lines).rstrip("\n") + "\n"


def _zones() -> list[str]:
    lines = ["## What may arrive", "", "| zone | by value | by choice | by influence |"]
    lines += ["|---|---|---|---|"]
    for name, zone in ZONES.items():
        cells = [", ".join(sorted(ways)) for ways in (zone.value, zone.choice, zone.influence)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return [*lines, ""]


def _lowerings() -> list[str]:
    lines = ["## What lowers a class", "", "| macro | from | to | reason |", "|---|---|---|---|"]
    for macro, lowering in sorted(LOWERINGS.items()):
        for old, new in sorted(lowering.classes.items()):
            lines.append(f"| `{macro}` | {old} | {new} | {lowering.reason} |")
    return [*lines, ""]


def _table(table: ZoneTable) -> list[str]:
    rows = table.relation.rows
    lines = [f"### {table.zone}: {table.name}", ""]
    if rows:
        lines += [f"Rows by {_grouped(rows)}.", ""]
    lines += ["| column | made of | chosen by | counted by |", "|---|---|---|---|"]
    cells = [
        (
            column,
            f"{_grouped(flow.value)} | {_grouped(flow.choice, but=flow.value)} "
            f"| {_grouped(flow.influence, but=[*flow.value, *flow.choice, *rows])}",
        )
        for column, flow in table.relation.columns
    ]
    if len({text for _, text in cells}) == 1 and len(cells) > 1:
        # A table drawn up in Python: every column is taken for one made of everything it read.
        cells = [(", ".join(column for column, _ in cells), cells[0][1])]
    return [*lines, *(f"| {column} | {text} |" for column, text in cells), ""]


def _grouped(facts: Facts, *, but: Iterable[Fact] = ()) -> str:
    """Source columns by their class, the columns of one table together."""
    left_out = set(but)
    groups: dict[str, dict[str, list[str]]] = {}
    for fact in sorted(facts, key=lambda fact: (_class(fact), fact.source)):
        if fact not in left_out:
            table, _, column = fact.source.rpartition(".")
            groups.setdefault(_class(fact), {}).setdefault(table, []).append(column)
    return "; ".join(
        f"**{name}** " + ", ".join(f"{table}: {' '.join(columns)}" for table, columns in of.items())
        for name, of in groups.items()
    )


def _class(fact: Fact) -> str:
    return f"{fact.privacy} ({', '.join(fact.macros)})" if fact.macros else fact.privacy

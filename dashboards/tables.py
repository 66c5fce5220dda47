"""Plain HTML: tables that keyboards and screen readers can read, and the pages' style sheet."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from html import escape
from typing import Any

HIDDEN = '<span class="hidden" title="1 to 10, or derivable from other figures">hidden</span>'
NUMBER = "n"
UNBROKEN = "w"
ABSENT = '<span aria-label="none">&ndash;</span>'

STYLE = """
<style>
[data-testid="stMainBlockContainer"] { padding-top: 3.6rem; padding-bottom: 3rem; }
h1 { font-size: 1.9rem !important; padding: 0.4rem 0 !important; }
h2 { font-size: 1.35rem !important; padding: 0.8rem 0 0.2rem 0 !important; }
.s-wrap { overflow-x: auto; max-width: 100%; }
.s-table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
.s-table caption { text-align: left; color: #444; padding: 0 0 0.4rem 0; }
.s-table th, .s-table td { padding: 0.3rem 0.6rem; border-bottom: 1px solid #D0D5DD;
  text-align: left; vertical-align: top; }
.s-table thead th { border-bottom: 2px solid #1A1A1A; vertical-align: bottom; }
.s-table th:first-child { position: sticky; left: 0; background: #FFF; padding-left: 0; }
.s-table tbody th { font-weight: 500; }
.s-table .n { text-align: right; font-variant-numeric: tabular-nums; }
.s-table td.n, .s-table .w { white-space: nowrap; }
.hidden { font-style: italic; color: #595959; }
.s-banner { background: #FFF4D6; border-left: 6px solid #E69F00; padding: 0.5rem 0.8rem; }
.s-note { color: #4A4A4A; font-size: 0.88rem; }
.s-figures { display: flex; flex-wrap: wrap; gap: 0.4rem 2.2rem; margin: 0.2rem 0; }
.s-figures, .s-figures div, .s-figures dt, .s-figures dd { margin-left: 0 !important;
  padding-left: 0 !important; }
.s-figures dt { color: #4A4A4A; font-size: 0.85rem; }
.s-figures dd { margin: 0; font-size: 1.45rem; font-weight: 600; }
ol.s-flow { list-style: none !important; margin: 0 !important; padding: 0 !important;
  max-width: 52rem; }
ol.s-flow li { margin: 0 !important; padding: 0 !important; }
.s-step { position: relative; border: 1px solid #0072B2; border-radius: 6px; overflow: hidden;
  padding: 0.5rem 0.8rem; }
.s-fill { position: absolute; inset: 0 auto 0 0; background: #D6EAF5; }
.s-text { position: relative; display: flex; flex-wrap: wrap; justify-content: space-between;
  gap: 0.1rem 1rem; }
.s-loss { padding: 0.25rem 0 0.25rem 1.2rem; color: #4A4A4A; font-size: 0.88rem; }
.s-step.is-hidden { border-style: dashed; border-color: #595959; }
</style>
"""


class Column:
    """One column of a table: its heading, how a row becomes its cell, and its alignment."""

    def __init__(
        self, heading: str, cell: Callable[[dict[str, Any]], str], *, style: str = ""
    ) -> None:
        self.heading = heading
        self.cell = cell
        self.style = f' class="{style}"' if style else ""


def text(heading: str, name: str) -> Column:
    """A column of text."""
    return Column(heading, lambda row: ABSENT if row[name] is None else escape(str(row[name])))


def count(heading: str, name: str, flag: str = "is_suppressed") -> Column:
    """A column of counts; null is shown as hidden where the row's flag says so."""

    def cell(row: dict[str, Any]) -> str:
        if row[name] is None:
            return HIDDEN if row.get(flag) else ABSENT
        return f"{row[name]:,.0f}"

    return Column(heading, cell, style=NUMBER)


def money(heading: str, name: str, flag: str = "is_suppressed") -> Column:
    """A column of amounts to the cent."""

    def cell(row: dict[str, Any]) -> str:
        value: Decimal | None = row[name]
        if value is None:
            return HIDDEN if row.get(flag) else ABSENT
        return f"{value:,.2f}"

    return Column(heading, cell, style=NUMBER)


def percent(heading: str, name: str, digits: int = 2, flag: str = "is_suppressed") -> Column:
    """A column of shares, shown per 100."""

    def cell(row: dict[str, Any]) -> str:
        if row[name] is None:
            return HIDDEN if row.get(flag) else ABSENT
        return f"{100 * row[name]:.{digits}f} %"

    return Column(heading, cell, style=NUMBER)


def month(heading: str, name: str) -> Column:
    """A column of months."""
    return Column(heading, lambda row: month_name(row[name]), style=UNBROKEN)


def month_name(value: dt.date) -> str:
    """Return a month as the pages write it: Mar 2025."""
    return f"{value:%b %Y}"


def half_year_name(value: dt.date) -> str:
    """Return a half-year as the pages write it: Jan to Jun 2025."""
    return f"{'Jan to Jun' if value.month == 1 else 'Jul to Dec'} {value.year}"


def table(caption: str, columns: Sequence[Column], rows: Sequence[dict[str, Any]]) -> str:
    """Return a table; its first column heads the rows and stays in sight while it scrolls."""
    heads = "".join(
        f'<th scope="col"{column.style}>{escape(column.heading)}</th>' for column in columns
    )
    body = "".join(f"<tr>{_cells(columns, row)}</tr>" for row in rows)
    return (
        f'<div class="s-wrap" role="region" tabindex="0" aria-label="{escape(caption)}">'
        f'<table class="s-table"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(columns: Sequence[Column], row: dict[str, Any]) -> str:
    first, *rest = columns
    head = f'<th scope="row"{first.style}>{first.cell(row)}</th>'
    return head + "".join(f"<td{column.style}>{column.cell(row)}</td>" for column in rest)


def figures(pairs: Sequence[tuple[str, str]]) -> str:
    """Return a row of key figures with their names."""
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in pairs
    )
    return f'<dl class="s-figures">{items}</dl>'


def note(words: str) -> str:
    """Return a remark in small print, dark enough to read."""
    return f'<div class="s-note">{escape(words)}</div>'


@dataclass(frozen=True)
class Step:
    """One step of an attrition flow; counts are None where hidden."""

    name: str
    persons: int | None
    events: int | None
    unit: str = "events"


def flow(steps: Sequence[Step]) -> str:
    """Return an attrition flow: one box per step, filled to the share of persons left."""
    first = next((step.persons for step in steps if step.persons), 0)
    items: list[str] = []
    for before, step in zip([None, *steps], steps, strict=False):
        if before is not None:
            items.append(f'<div class="s-loss">↓ {_loss(before, step)}</div>')
        items.append(_box(step, first))
    return '<ol class="s-flow">' + "".join(f"<li>{item}</li>" for item in items) + "</ol>"


def _box(step: Step, first: int) -> str:
    name = f"<span>{escape(step.name)}</span>"
    if step.persons is None or step.events is None:
        return (
            f'<div class="s-step is-hidden"><div class="s-text">{name}'
            f"<span>{HIDDEN}</span></div></div>"
        )
    share = 100 * step.persons / first if first else 0
    return (
        f'<div class="s-step"><div class="s-fill" style="width: {share:.1f}%"></div>'
        f'<div class="s-text">{name}<span><b>{step.persons:,}</b> persons, '
        f"{step.events:,} {escape(step.unit)}</span></div></div>"
    )


def _loss(before: Step, after: Step) -> str:
    """Say what a step loses; its counts are rounded up to tens, and so no exact answer."""
    if before.persons is None or after.persons is None:
        return ""
    if before.persons != after.persons:
        return f"about {before.persons - after.persons:,} persons leave"
    if before.unit != after.unit or before.events is None or after.events is None:
        return "fewer than 10 persons leave"
    if before.events != after.events:
        return f"fewer than 10 persons leave, about {before.events - after.events:,} events do"
    return "fewer than 10 leave"

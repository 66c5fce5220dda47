"""An attacker who has kept every publication of claims against what changed between them.

Claims come late, are voided and answered after their month was published. All figures of a payer
and month must come from one build, the same in every publication: then whatever an attacker derives
from all publications follows from one build's figures, and `test_published_claims` has asked its
integer programme for every count and amount of a few claims of each of these builds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from ops.publication.frozen_cells import OPEN
from ops.publication.history import CLAIMS, Past, merge_claims
from tests.privacy.hard_claims import BUILDS, MONTHS
from tests.privacy.test_published_claims import PUBLISHED
from tests.privacy.worlds import Worlds

pytestmark = pytest.mark.integration

# How many of the months have run out when each build is published.
CLOSED = (2, 4, 6)
MEMBERS = "select payer_key, month_on, product_code, member_months_count from {}.rpt_member_months"
Shown = dict[tuple[str, Any], list[tuple[Any, ...]]]  # payer and month -> figures


def figures(con: duckdb.DuckDBPyConnection, schema: str) -> Shown:
    """All that is said of a payer and month, where anything is."""
    found: Shown = {}
    for sql in (PUBLISHED, MEMBERS):
        for payer, month, *rest in sorted(con.execute(sql.format(schema)).fetchall(), key=repr):
            found.setdefault((payer, month), []).append(tuple(rest))
    return found


def is_shown(rows: list[tuple[Any, ...]]) -> bool:
    return any(value is not None for value in rows[0])


def publish(con: duckdb.DuckDBPyConnection, build: int, past: Path | None, file: Path) -> Shown:
    """Publish the claims of one build after another; keep the history where the next reads it."""
    con.execute("create schema memory.fresh; create schema memory.history")
    for table in CLAIMS:
        open_months = ", ".join(f"'{month}'" for month in MONTHS[CLOSED[build] :]) or "null"
        columns = [row[0] for row in con.execute(f"describe built.published.{table}").fetchall()]
        kept = {"payer_key", "month_on", "product_code", "member_month_rule_code"}
        values = [
            "split_part(payer_key, '-', 1) as payer_key"
            if name == "payer_key"
            else name
            if name in kept
            else f"if(is_open, '{OPEN}', {name}) as {name}"
            if name == "suppression_code"
            else f"is_open or {name} as {name}"
            if name.startswith("is_")
            else f"if(is_open, null, {name}) as {name}"
            for name in columns
        ]
        con.execute(
            f"create table memory.fresh.{table} as select {', '.join(values)} from ("
            f"select *, coalesce(month_on in ({open_months}), false) as is_open "
            f"from built.published.{table} where payer_key like '%-{build}')"
        )
    if past is not None:
        con.execute(f"attach '{past}' as past (read_only)")
    merge_claims(con, Past(past, "sha256"))
    con.execute(f"attach '{file}' as kept; create schema kept.history")
    for table in CLAIMS:
        con.execute(f"create table kept.history.{table} as from memory.history.{table}")
    found = figures(con, "memory.fresh")
    con.execute("detach kept; drop schema memory.fresh cascade; drop schema memory.history cascade")
    if past is not None:
        con.execute("detach past")
    return found


@pytest.fixture(scope="module")
def publications(many_worlds: Worlds, tmp_path_factory: pytest.TempPathFactory) -> list[Shown]:
    folder = tmp_path_factory.mktemp("claims-over-time")
    seen, past = [], None
    with duckdb.connect() as con:
        con.execute(f"attach '{many_worlds.warehouse}' as built (read_only)")
        for build in BUILDS:
            file = folder / f"{build}.duckdb"
            seen.append(publish(con, build, past, file))
            past = file
    return seen


def test_every_figure_comes_from_the_first_build_that_showed_its_month(
    publications: list[Shown], many_worlds: Worlds
) -> None:
    """So no two builds stand behind one month, and no change between them is in any figure."""
    with duckdb.connect(str(many_worlds.warehouse), read_only=True) as con:
        built = figures(con, "published")
    checked = changed = 0
    for at, shown in enumerate(publications):
        for (payer, month), rows in shown.items():
            closed = [n for n in BUILDS if month in MONTHS[: CLOSED[n]]]
            if not closed or closed[0] > at:
                assert not is_shown(rows), "a month was shown before it had run out"
                continue
            assert rows == built[f"{payer}-{closed[0]}", month]
            checked += is_shown(rows)
            changed += rows != built[f"{payer}-{at}", month]
    # Had nothing changed after its publication, freezing would not be needed.
    assert checked > 40 and changed > 10, (checked, changed)

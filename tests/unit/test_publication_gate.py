"""The gate stands behind every table that leaves the warehouse, and behind every mart."""

from __future__ import annotations

import re

from governance.settings import PROJECT_ROOT
from ops.publication.publish import NETWORK_TABLES

MODELS = PROJECT_ROOT / "models"
GATE = MODELS / "published" / "publication_gate.sql"


def refs(text: str) -> set[str]:
    return set(re.findall(r"ref\('([a-z0-9_]+)'\)", text))


def test_gate_depends_on_every_mart_and_every_published_table() -> None:
    behind = {
        path.stem
        for folder in ("marts", "quality", "published")
        for path in (MODELS / folder).rglob("*.sql")
        if path != GATE
    }
    behind.discard("rpt_snapshot")  # through published__rpt_snapshot, of which it is all
    assert "rpt_snapshot" in refs(
        (MODELS / "published" / "published__rpt_snapshot.sql").read_text()
    )
    missing = behind - refs(GATE.read_text())
    assert not missing, f"add to publication_gate.sql: -- depends_on: {sorted(missing)}"


def test_publication_copies_every_published_model_and_nothing_else() -> None:
    aliases = {
        path.stem.removeprefix("published__"): path.read_text()
        for path in (MODELS / "published").glob("published__*.sql")
    }
    assert set(NETWORK_TABLES) == set(aliases)
    for alias, text in aliases.items():
        assert f"config(alias='{alias}')" in text

"""The whole job on an installation, and the way back from a token to the row a test wrote."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from chart_audit.hand_over import SOURCE, hand_over
from governance.settings import Settings
from tests.helpers.dbt import run_dbt


def run_pipeline(settings: Settings) -> None:
    """Snapshot, build and publish: what the nightly job does."""
    from extract.snapshot import take_snapshot  # noqa: PLC0415
    from ops.build import run_build  # noqa: PLC0415
    from ops.publication.publish import publish  # noqa: PLC0415

    if SOURCE in settings.sources:
        hand_over(settings)
    take_snapshot(settings)
    run_build(settings)
    publish(settings)


def run_models(settings: Settings, *models: str) -> None:
    """Snapshot, and some models with all that they need, where a test asks for their numbers only.

    The data tests are most of a small build's time; `demo_home` and others run them.
    """
    from extract.snapshot import take_snapshot  # noqa: PLC0415

    if SOURCE in settings.sources:
        hand_over(settings)
    take_snapshot(settings)
    only = ("--exclude-resource-type", "test", "unit_test", "--select", *(f"+{m}" for m in models))
    run = run_dbt(settings.home, settings.home / "target", "build", *only)
    assert run.exit_code == 0, run.not_green()


def raw_visit_keys(settings: Settings, visit_ids: Iterable[int]) -> dict[str, int]:
    """Token -> ED visit id as the operational database has it; only the key's owner can do this."""
    from extract.identity.tokens import Tokeniser, load_or_create_key  # noqa: PLC0415

    tokeniser = Tokeniser(load_or_create_key(settings.vault, allow_create=False))
    return {tokeniser.tokenise_one(number, "ehr.ed_visit"): number for number in visit_ids}


def query(path: Path, sql: str) -> pl.DataFrame:
    """Run one query on a DuckDB file opened read-only."""
    with duckdb.connect(str(path), read_only=True) as connection:
        frame: pl.DataFrame = connection.sql(sql).pl()
        return frame


def one_value(path: Path, sql: str) -> Any:
    """The single value of a query."""
    return query(path, sql).item()

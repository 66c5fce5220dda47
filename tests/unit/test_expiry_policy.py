"""Which rows are old: whole months, by the machine's clock, and never without a date."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import settings as property_settings
from hypothesis import strategies as st

from extract.contracts import ColumnContract, TableContract
from extract.expiry.policy import Rule, rules_of
from governance.errors import SettingsError
from governance.settings import (
    RetentionSettings,
    Settings,
    TableRetention,
    load_settings,
)

PERSON = ColumnContract("patient_id", "string", "person_key", "bigint", "x.yml:1", "ehr.patient")
KEY = ColumnContract("visit_id", "string", "record_key", "bigint", "x.yml:2", "ehr.ed_visit")
AT = ColumnContract("arrived_at", "timestamp", "date", "timestamp", "x.yml:3")
ON = ColumnContract("paid_on", "date", "date", "date", "x.yml:4")
VISITS = TableContract(
    "ehr", "visits", (KEY, PERSON, AT, ON), "visit_id", "x.yml:5", partition_by="arrived_at"
)


def rule(now: datetime, months: int, by: str | None = None) -> Rule:
    policy = RetentionSettings(tables={"ehr.visits": TableRetention(months, by)})
    settings = Settings(home=Path("home"), retention=policy)
    return rules_of(settings, [VISITS], now)["ehr", "visits"]


@pytest.mark.parametrize(
    ("now", "months", "before"),
    [
        (datetime(2026, 11, 15, tzinfo=UTC), 84, date(2019, 11, 1)),
        (datetime(2026, 11, 30, 23, 59, tzinfo=UTC), 84, date(2019, 11, 1)),
        (datetime(2026, 12, 1, tzinfo=UTC), 84, date(2019, 12, 1)),
        (datetime(2026, 1, 31, tzinfo=UTC), 1, date(2025, 12, 1)),
        (datetime(2026, 1, 31, tzinfo=UTC), 12, date(2025, 1, 1)),
        (datetime(2026, 1, 31, tzinfo=UTC), 13, date(2024, 12, 1)),
    ],
)
def test_months_are_whole_and_counted_from_the_current_one(
    now: datetime, months: int, before: date
) -> None:
    assert rule(now, months).before == before


def test_the_first_instant_that_is_kept_is_midnight_in_utc() -> None:
    found = rule(datetime(2026, 11, 15, tzinfo=UTC), 84)
    texts = ["2019-11-01T00:00:00+01:00", "2019-10-31T19:00:00-05:00", None, "soon", "2019-10-31"]
    # An hour before the limit; the limit itself; no date; no date; a clock without an offset.
    assert found.is_old_in_source(pa.array(texts)).tolist() == [True, False, False, False, False]
    days = rule(datetime(2026, 11, 15, tzinfo=UTC), 84, "paid_on")
    assert days.is_old_in_source(pa.array(["2019-10-31", "2019-11-01"])).tolist() == [True, False]


def test_quarantine_keeps_texts_and_numbers_of_the_same_instants() -> None:
    found = rule(datetime(2026, 11, 15, tzinfo=UTC), 84)
    limit = int(datetime(2019, 11, 1, tzinfo=UTC).timestamp()) * 1_000_000
    said = [f"{limit - 1} us", f"{limit} us", "2019-10-31T23:59:59Z", "not a date", "", None]
    assert [found.is_old_in_quarantine(t) for t in said] == [True, False, True, *[False] * 3]
    days = rule(datetime(2026, 11, 15, tzinfo=UTC), 84, "paid_on")
    day = (date(2019, 11, 1) - date(1970, 1, 1)).days
    assert [days.is_old_in_quarantine(f"{n} days") for n in (day - 1, day)] == [True, False]


@property_settings(deadline=None)
@given(
    away=st.one_of(st.integers(-14, 14), st.integers(-20_000, 20_000)),
    offset=st.integers(-14, 14),  # no clock is further from UTC
    now=st.datetimes(datetime(2020, 1, 1), datetime(2027, 1, 1)),
    months=st.integers(1, 120),
)
def test_a_partition_that_is_linked_holds_no_row_that_is_decided_otherwise(
    away: int, offset: int, now: datetime, months: int
) -> None:
    """The state of a partition must say more than what the policy makes of any row in it."""
    found = rule(now.replace(tzinfo=UTC), months)
    at = datetime(found.before.year, found.before.month, 1) + timedelta(hours=away)
    is_old = bool(found.is_old(pa.array([at.replace(tzinfo=UTC)], pa.timestamp("us", tz="UTC")))[0])
    state = found.state(f"{at + timedelta(hours=offset):%Y-%m}")
    assert state == f"before {found.before}" or is_old == (state == "all before")


def test_rows_without_a_month_are_left_alone_and_other_dates_looked_at_each_month() -> None:
    now = datetime(2026, 11, 15, tzinfo=UTC)
    assert rule(now, 84).state("none") == ""
    assert rule(now, 84, "paid_on").state("2026-11") == "before 2019-11-01"


@pytest.mark.parametrize(
    "words",
    [
        "tables = 3",
        '[retention.tables]\n"ehr.visits" = 84',
        '[retention.tables]\n"ehr.visits" = {months = 0}',
        '[retention.tables]\n"ehr.visits" = {months = true}',
        '[retention.tables]\n"ehr.visits" = {by = "arrived_at"}',
        '[retention.tables]\n"ehr.visits" = {months = 84, by = 3}',
        '[retention.tables]\n"ehr.visits" = {months = 84, days = 3}',
    ],
)
def test_a_policy_that_is_none_is_refused(tmp_path: Path, words: str) -> None:
    source = '[sources.ehr]\nkind = "sqlite"\npath = "x"\n'
    (tmp_path / "scutari.toml").write_text(f"{source}[retention]\n{words}\n")
    with pytest.raises(SettingsError, match="tables"):
        load_settings(tmp_path)


def test_a_policy_is_read(tmp_path: Path) -> None:
    words = 'review_days = 90\n[retention.tables]\n"ehr.visits" = {months = 84, by = "paid_on"}\n'
    source = '[sources.ehr]\nkind = "sqlite"\npath = "x"\n'
    (tmp_path / "scutari.toml").write_text(f"{source}[retention]\n{words}")
    assert load_settings(tmp_path).retention == RetentionSettings(
        review_days=90, tables={"ehr.visits": TableRetention(84, "paid_on")}
    )

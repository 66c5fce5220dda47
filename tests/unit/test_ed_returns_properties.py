"""Any history at all: the oracle against a search of every pair, and what must hold by itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.random_histories import history, limit
from tests.oracle import brute_force as slow
from tests.oracle.ed_return_measures import Measure, monthly_counts
from tests.oracle.ed_returns import PERSON_SCHEMA, REGISTRATION_SCHEMA, Answer, answer


def frame(rows: list[slow.Registration]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "visit_key": row.key,
                "person_key": row.person,
                "hospital_key": row.hospital,
                "time_zone": row.zone,
                "arrived_at": row.arrived,
                "departed_at": row.departed,
                "disposition_at": row.decided,
                "disposition_code": row.disposition,
                "is_planned": row.planned,
                "main_diagnosis_code": None,
            }
            for row in rows
        ],
        schema=REGISTRATION_SCHEMA,
    )


def people(deaths: dict[str, date]) -> pl.DataFrame:
    return pl.DataFrame(
        [(name, None, deaths.get(name)) for name in ("p", "q")],
        schema=PERSON_SCHEMA,
        orient="row",
    )


def solved(rows: list[slow.Registration], deaths: dict[str, date] | None = None) -> Answer:
    return answer(frame(rows), people(deaths or {}))


@settings(max_examples=150, deadline=None)
@given(history())
def test_legs_and_stays_equal_the_search_of_every_pair(rows: list[slow.Registration]) -> None:
    legs = slow.legs_of(rows)
    wanted = {
        member.key: (leg.first.key, stay[0].first.key)
        for stay in slow.stays_of(legs)
        for leg in stay
        for member in leg.members
    }
    found = solved(rows).registrations
    assert {
        key: (leg, stay)
        for key, leg, stay in found.select("visit_key", "leg_key", "stay_key").iter_rows()
    } == wanted


@settings(max_examples=200, deadline=None)
@given(history())
def test_pairs_equal_the_search_of_every_pair(rows: list[slow.Registration]) -> None:
    wanted = {
        pair.leg.last_word.key: (
            pair.returned[0].first.key,
            pair.returned[0].first.arrived - pair.leg.leaves,
        )
        if pair.returned
        else (None, None)
        for pair in slow.pairs_of(slow.stays_of(slow.legs_of(rows)))
    }
    result = solved(rows)
    found = result.pairs.select("index_visit_key", "return_visit_key", "elapsed")
    assert {key: (back, gap) for key, back, gap in found.iter_rows()} == wanted
    unexplained = result.registrations.filter(pl.col("exclusion_reason").is_null())
    assert set(unexplained["visit_key"]) == set(wanted)


@settings(max_examples=250, deadline=None)
@given(
    st.data(),
    history(),
    st.dictionaries(st.sampled_from(["p", "q"]), st.integers(-2, 1), max_size=2),
    st.sampled_from([24, 72, 72]),
    st.booleans(),
)
def test_counts_equal_the_search_of_every_pair(
    data: st.DataObject,
    rows: list[slow.Registration],
    dead: dict[str, int],
    window: int,
    needs_admission: bool,
) -> None:
    through = data.draw(limit(rows))
    deaths = {name: through.date() + timedelta(days=day) for name, day in dead.items()}
    measure = Measure("any", window, needs_admission)
    found = monthly_counts(solved(rows, deaths), [measure], through)
    wanted = slow.cells(
        rows, deaths, through, window=timedelta(hours=window), needs_admission=needs_admission
    )
    assert {
        (row["hospital_key"], row["month_on"]): (
            row["numerator_count"],
            row["index_visits_count"],
            row["all_visits_count"],
        )
        for row in found.iter_rows(named=True)
    } == wanted


@settings(max_examples=100, deadline=None)
@given(history(), st.randoms(use_true_random=False))
def test_order_of_the_rows_changes_nothing(rows: list[slow.Registration], chance: object) -> None:
    shuffled = list(rows)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    key = "index_visit_key"
    assert solved(rows).pairs.sort(key).equals(solved(shuffled).pairs.sort(key))


@settings(max_examples=100, deadline=None)
@given(history())
def test_a_return_is_taken_once_and_starts_after_its_index(rows: list[slow.Registration]) -> None:
    pairs = solved(rows).pairs.filter(pl.col("return_visit_key").is_not_null())
    assert pairs["return_visit_key"].is_unique().all()
    assert (pairs["elapsed"] > timedelta(0)).all()


def test_the_histories_drawn_reach_every_rule() -> None:
    """The properties mean little if no drawn history ever meets the rule: count that they do."""
    met = {name: 0 for name in ("joined", "chained", "shared", "exactly_72h", "planned", "open")}

    @settings(max_examples=400, deadline=None, derandomize=True, database=None)
    @given(history())
    def look(rows: list[slow.Registration]) -> None:
        legs = slow.legs_of(rows)
        stays = slow.stays_of(legs)
        pairs = slow.pairs_of(stays)
        gaps = [pair.returned[0].first.arrived - pair.leg.leaves for pair in pairs if pair.returned]
        met["joined"] += any(len(leg.members) > 1 for leg in legs)
        met["chained"] += any(len(stay) > 1 for stay in stays)
        met["shared"] += any(_lost_its_return(pair, stays) for pair in pairs)
        met["exactly_72h"] += timedelta(hours=72) in gaps
        met["planned"] += any(stay[0].first.planned for stay in stays)
        met["open"] += any(stay[-1].last_word.disposition is None for stay in stays)

    look()
    assert all(count >= 5 for count in met.values()), met


def _lost_its_return(pair: slow.Pair, stays: list[tuple[slow.Leg, ...]]) -> bool:
    own = next(stay for stay in stays if stay[-1] == pair.leg)
    return pair.returned is None and any(slow._may_return(own, stay) for stay in stays)


def test_sixty_thousand_visits_are_no_burden() -> None:
    # Not timed: with a quadratic step it would not end within anybody's patience.
    count = 60_000
    start = datetime(2024, 1, 1, tzinfo=UTC)
    visits = pl.DataFrame({"number": range(count)}).select(
        pl.col("number").cast(pl.String).alias("visit_key"),
        (pl.col("number") % (count // 3)).cast(pl.String).alias("person_key"),
        pl.lit("A").alias("hospital_key"),
        pl.lit("America/Toronto").alias("time_zone"),
        (pl.lit(start) + pl.duration(hours=pl.col("number") // (count // 3) * 72)).alias(
            "arrived_at"
        ),
        pl.lit(None).alias("departed_at"),
        pl.lit(None).alias("disposition_at"),
        pl.lit("home").alias("disposition_code"),
        pl.lit(False).alias("is_planned"),
        pl.lit(None).alias("main_diagnosis_code"),
    )
    visits = visits.with_columns(departed_at=pl.col("arrived_at"))
    result = answer(visits, pl.DataFrame(schema=PERSON_SCHEMA))
    # Three visits a person, 72 h apart: two have a return, the last has none.
    assert result.pairs["return_visit_key"].count() == 2 * count // 3

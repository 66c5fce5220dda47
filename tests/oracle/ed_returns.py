"""ED return visits, computed a second time.

Written from the definition (docs and the worked histories), never from the SQL models: the two
share no line. Where they disagree, one of them is wrong.

Input frames (polars):

* registrations: ``visit_key, person_key (null = unlinkable), hospital_key, time_zone, arrived_at,
  departed_at, disposition_at (UTC instants), disposition_code, is_planned, main_diagnosis_code``.
* persons: ``person_key, birth_on, deceased_on``.
* inpatient: ``encounter_key, visit_key, admitted_at, main_diagnosis_code`` of encounters that came
  through an ED visit.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

TRANSFER_WINDOW = timedelta(hours=24)

# Dispositions whose reason has another name than they have.
DISPOSITION_REASONS = {"transferred": "transferred_out", "other": "other_disposition"}

REGISTRATION_SCHEMA = pl.Schema(
    {
        "visit_key": pl.String(),
        "person_key": pl.String(),
        "hospital_key": pl.String(),
        "time_zone": pl.String(),
        "arrived_at": pl.Datetime("us", "UTC"),
        "departed_at": pl.Datetime("us", "UTC"),
        "disposition_at": pl.Datetime("us", "UTC"),
        "disposition_code": pl.String(),
        "is_planned": pl.Boolean(),
        "main_diagnosis_code": pl.String(),
    }
)
PERSON_SCHEMA = pl.Schema(
    {
        "person_key": pl.String(),
        "birth_on": pl.Date(),
        "deceased_on": pl.Date(),
    }
)
INPATIENT_SCHEMA = pl.Schema(
    {
        "encounter_key": pl.String(),
        "visit_key": pl.String(),
        "admitted_at": pl.Datetime("us", "UTC"),
        "main_diagnosis_code": pl.String(),
    }
)


@dataclass(frozen=True)
class Answer:
    """What the definition says of every registration, leg and index visit.

    ``registrations``: ``visit_key, hospital_key, leg_key, stay_key, exclusion_reason`` (null: index
    visit).
    ``legs``: one row per ED visit that ``all_visits`` counts, with its hospital-local month.
    ``pairs``: one row per index visit with its return, if any.
    """

    registrations: pl.DataFrame
    legs: pl.DataFrame
    pairs: pl.DataFrame


def answer(
    registrations: pl.DataFrame,
    persons: pl.DataFrame,
    inpatient: pl.DataFrame | None = None,
) -> Answer:
    """Apply the rules to every registration; `ed_return_measures` counts them."""
    persons = persons.cast(PERSON_SCHEMA)
    rows = _with_legs(_effective(registrations))
    legs = _with_stays(_legs(rows))
    legs = _with_local_months(legs).join(
        persons.select("person_key", "deceased_on"), on="person_key", how="left"
    )
    stays = _stays(legs)
    rows = rows.join(legs.select("leg_key", "stay_key"), on="leg_key", validate="m:1")
    pairs = _pairs(legs, stays)
    pairs = _with_return_facts(pairs, rows, stays, persons, inpatient)
    return Answer(registrations=_explained(rows, legs, stays), legs=legs, pairs=pairs)


def _effective(registrations: pl.DataFrame) -> pl.DataFrame:
    """Settle each departure: left, else decided, else (to join rows only) arrived."""
    if registrations["arrived_at"].null_count():
        raise ValueError("The definition has no place for a registration without arrival.")
    known = pl.coalesce("departed_at", "disposition_at")
    return registrations.cast(REGISTRATION_SCHEMA).with_columns(
        is_departure_known=known.is_not_null(),
        is_open=known.is_null() & pl.col("disposition_code").is_null(),
        effective_at=pl.max_horizontal(pl.coalesce(known, "arrived_at"), "arrived_at"),
        # Without a person there is nobody to join with: each registration is its own subject.
        subject=pl.coalesce(
            pl.lit("person ") + pl.col("person_key"), pl.lit("nobody ") + pl.col("visit_key")
        ),
        is_planned=pl.col("is_planned").fill_null(False),
    )


def _with_legs(rows: pl.DataFrame) -> pl.DataFrame:
    """Join registrations of one subject at one hospital that touch or overlap."""
    place = ["subject", "hospital_key"]
    rows = rows.sort(*place, "arrived_at", "visit_key")
    rows = rows.with_columns(
        busy_until=pl.col("effective_at").cum_max().shift(1).over(place),
    )
    starts_leg = pl.col("busy_until").is_null() | (pl.col("arrived_at") > pl.col("busy_until"))
    return rows.with_columns(
        leg_key=pl.when(starts_leg).then("visit_key").forward_fill().over(place)
    )


def _legs(rows: pl.DataFrame) -> pl.DataFrame:
    """Reduce each leg to one row; the registration that leaves last has the last word."""
    by_leaving = rows.sort("leg_key", "is_open", "effective_at", "arrived_at", "visit_key")
    last_word = by_leaving.group_by("leg_key", maintain_order=True).agg(
        pl.col("visit_key").last().alias("last_word_key"),
        pl.col("disposition_code").last(),
        pl.col("is_departure_known").last(),
        pl.col("effective_at").max().alias("departed_at"),
        pl.col("main_diagnosis_code").drop_nulls().last(),
    )
    first = rows.sort("leg_key", "arrived_at", "visit_key").group_by("leg_key").first()
    return last_word.join(
        first.select(
            "leg_key",
            "subject",
            "person_key",
            "hospital_key",
            "time_zone",
            "arrived_at",
            "is_planned",
        ),
        on="leg_key",
        validate="1:1",
    )


def _with_stays(legs: pl.DataFrame) -> pl.DataFrame:
    """Chain a leg to the one before it where that one was transferred and this is the arrival."""
    legs = legs.sort("subject", "arrived_at", "leg_key")

    def before(column: str) -> pl.Expr:
        return pl.col(column).shift(1).over("subject")

    continues = (
        (before("disposition_code") == "transferred")
        & (before("hospital_key") != pl.col("hospital_key"))
        & (pl.col("arrived_at") - before("departed_at") <= TRANSFER_WINDOW)
    ).fill_null(False)
    return (
        legs.with_columns(continues=continues)
        .with_columns(
            stay_key=pl.when(~pl.col("continues")).then("leg_key").forward_fill().over("subject")
        )
        .with_columns(is_last_leg=pl.int_range(pl.len(), 0, -1).over("stay_key") == 1)
    )


def _with_local_months(legs: pl.DataFrame) -> pl.DataFrame:
    """Add the month of arrival on the hospital's own clock."""
    return legs.with_columns(
        month_on=_local_date(legs, "arrived_at", "time_zone").dt.truncate("1mo")
    )


def _local_date(frame: pl.DataFrame, instant: str, zone: str) -> pl.Expr:
    date = pl.lit(None, dtype=pl.Date)
    for name in frame.get_column(zone).drop_nulls().unique().sort():
        local = pl.col(instant).dt.convert_time_zone(name).dt.date()
        date = pl.when(pl.col(zone) == name).then(local).otherwise(date)
    return date


def _stays(legs: pl.DataFrame) -> pl.DataFrame:
    return legs.group_by("stay_key", maintain_order=True).agg(
        pl.col("person_key").first(),
        pl.col("arrived_at").first().alias("starts_at"),
        pl.col("hospital_key").first(),
        pl.col("time_zone").first(),
        pl.col("leg_key").first().alias("first_visit_key"),
        pl.col("is_planned").first(),
        (pl.col("disposition_code") == "admitted").any().alias("is_admitted"),
        pl.col("disposition_code").last().alias("last_disposition_code"),
        # A leg without a diagnosis says nothing about the stay; the last that has one does.
        pl.col("main_diagnosis_code").drop_nulls().last(),
    )


def _pairs(legs: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    """Find each index visit's return: the first stay that starts after it, and is its alone."""
    index = (
        legs.join(
            stays.select("stay_key", pl.col("is_planned").alias("is_stay_planned")), on="stay_key"
        )
        .filter(
            pl.col("is_last_leg"),
            pl.col("disposition_code") == "home",
            ~pl.col("is_stay_planned"),
            pl.col("person_key").is_not_null(),
            pl.col("is_departure_known"),
        )
        .rename({"last_word_key": "index_visit_key", "main_diagnosis_code": "index_diagnosis_code"})
    )
    candidates = (
        stays.filter(
            pl.col("person_key").is_not_null(),
            ~pl.col("is_planned"),
            pl.col("last_disposition_code").ne_missing("lwbs"),
        )
        .sort("starts_at", "stay_key")
        .unique(["person_key", "starts_at"], keep="first", maintain_order=True)
        .select("person_key", "starts_at", pl.col("stay_key").alias("return_stay_key"))
    )
    found = index.sort("departed_at").join_asof(
        candidates,
        left_on="departed_at",
        right_on="starts_at",
        by="person_key",
        strategy="forward",
        allow_exact_matches=False,
        check_sortedness=False,  # both sides are sorted; polars cannot tell within groups
        coalesce=False,
    )
    return _one_index_per_return(found.drop("starts_at"))


def _one_index_per_return(found: pl.DataFrame) -> pl.DataFrame:
    """Leave a shared return with the index visit that was left last."""
    ranked = found.sort("departed_at", "arrived_at", "index_visit_key", descending=True)
    keeps = pl.col("return_stay_key").is_first_distinct()
    return ranked.with_columns(return_stay_key=pl.when(keeps).then("return_stay_key"))


def _with_return_facts(
    pairs: pl.DataFrame,
    rows: pl.DataFrame,
    stays: pl.DataFrame,
    persons: pl.DataFrame,
    inpatient: pl.DataFrame | None,
) -> pl.DataFrame:
    admission = pl.when(pl.col("is_admitted")).then(pl.lit("admitted"))
    discharge = _discharge_diagnoses(rows, inpatient)
    returns = stays.join(discharge, on="stay_key", how="left").select(
        pl.col("stay_key").alias("return_stay_key"),
        pl.col("first_visit_key").alias("return_visit_key"),
        pl.col("hospital_key").alias("return_hospital_key"),
        pl.col("time_zone").alias("return_time_zone"),
        pl.col("starts_at").alias("return_arrived_at"),
        pl.col("is_admitted").alias("is_return_admitted"),
        admission.otherwise(pl.col("last_disposition_code"))
        .fill_null("unknown")
        .alias("return_outcome_code"),
        pl.coalesce("discharge_diagnosis_code", "main_diagnosis_code").alias(
            "return_diagnosis_code"
        ),
    )
    pairs = pairs.join(returns, on="return_stay_key", how="left").join(
        persons.select("person_key", "birth_on"), on="person_key", how="left"
    )
    pairs = pairs.with_columns(
        elapsed=pl.col("return_arrived_at") - pl.col("departed_at"),
        return_on=_local_date(pairs, "return_arrived_at", "return_time_zone"),
        index_on=_local_date(pairs, "arrived_at", "time_zone"),
    )
    return pairs.with_columns(
        return_age_years=_completed_years("birth_on", "return_on"),
        index_age_years=_completed_years("birth_on", "index_on"),
    )


def _completed_years(birth: str, day: str) -> pl.Expr:
    def in_year(column: str) -> pl.Expr:
        # Months are 8-bit integers: multiplied as they are, they overflow silently.
        return pl.col(column).dt.month().cast(pl.Int32) * 100 + pl.col(column).dt.day()

    had_birthday = in_year(day) >= in_year(birth)
    years = pl.col(day).dt.year() - pl.col(birth).dt.year()
    return years - (~had_birthday).cast(pl.Int32)


def _discharge_diagnoses(rows: pl.DataFrame, inpatient: pl.DataFrame | None) -> pl.DataFrame:
    """Main diagnosis at discharge of the earliest inpatient encounter of each stay."""
    if inpatient is None:
        inpatient = pl.DataFrame(schema=INPATIENT_SCHEMA)
    return (
        inpatient.cast(INPATIENT_SCHEMA)
        .filter(pl.col("main_diagnosis_code").is_not_null())
        .join(rows.select("visit_key", "stay_key"), on="visit_key")
        .sort("admitted_at", "encounter_key")
        .group_by("stay_key")
        .agg(pl.col("main_diagnosis_code").first().alias("discharge_diagnosis_code"))
    )


def _explained(rows: pl.DataFrame, legs: pl.DataFrame, stays: pl.DataFrame) -> pl.DataFrame:
    """Say of every registration why it is no index visit; null where it is one."""
    # Those whom nobody can name have stays of their own: their order with the others is no matter.
    ended = pl.col("disposition_code").replace(DISPOSITION_REASONS).fill_null("open")
    facts = rows.select("visit_key", "leg_key").join(
        legs.join(stays.select("stay_key", is_stay_planned="is_planned"), on="stay_key"),
        on="leg_key",
    )
    reason = (
        pl.when(pl.col("visit_key") != pl.col("last_word_key"))
        .then(pl.lit("duplicate_registration"))
        .when(pl.col("person_key").is_null())
        .then(pl.lit("unlinkable"))
        .when(~pl.col("is_last_leg"))
        .then(pl.lit("not_last_leg"))
        .when(pl.col("is_stay_planned"))
        .then(pl.lit("planned"))
        .when(pl.col("disposition_code").ne_missing("home"))
        .then(ended)
        .when(~pl.col("is_departure_known"))
        .then(pl.lit("no_departure"))
    )
    return facts.select(
        "visit_key", "hospital_key", "leg_key", "stay_key", reason.alias("exclusion_reason")
    )

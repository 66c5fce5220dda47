"""Re-attendances at the same ED, found a second time: every later visit is looked at."""

from __future__ import annotations

import polars as pl

from tests.oracle.ed_returns import PERSON_SCHEMA, Answer, _completed_years, _local_date

PAIRING = "after_attendance"
PLACE = ["person_key", "hospital_key"]


def with_reattendances(result: Answer, persons: pl.DataFrame) -> pl.DataFrame:
    """Pairs of every attendance and the next one at the same hospital, as measures look at them."""
    born = persons.cast(PERSON_SCHEMA).select("person_key", "birth_on")
    legs = result.legs.filter(pl.col("person_key").is_not_null(), ~pl.col("is_planned")).join(
        born, on="person_key", how="left"
    )
    legs = legs.with_columns(on=_local_date(legs, "arrived_at", "time_zone"))
    legs = legs.with_columns(age=_completed_years("birth_on", "on"))
    later = legs.select(
        *PLACE,
        pl.col("leg_key").alias("return_visit_key"),
        pl.col("arrived_at").alias("return_arrived_at"),
        pl.col("main_diagnosis_code").alias("return_diagnosis_code"),
        pl.col("disposition_code").fill_null("unknown").alias("return_outcome_code"),
        pl.col("disposition_code").eq_missing("admitted").alias("is_return_admitted"),
        pl.col("age").alias("return_age_years"),
    )
    nearest = (
        legs.select("leg_key", "departed_at", *PLACE)
        .join(later, on=PLACE)
        .filter(pl.col("return_arrived_at") > pl.col("departed_at"))
        .sort("return_arrived_at")
        .unique("leg_key", keep="first", maintain_order=True)
        .drop("departed_at", *PLACE)
    )
    return (
        legs.filter("is_departure_known")
        .join(nearest, on="leg_key", how="left")
        .with_columns(
            index_visit_key=pl.col("last_word_key"),
            index_diagnosis_code=pl.col("main_diagnosis_code"),
            index_age_years=pl.col("age"),
            return_hospital_key=pl.col("hospital_key"),
            elapsed=pl.col("return_arrived_at") - pl.col("departed_at"),
        )
    )

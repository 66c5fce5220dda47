"""Measures of ED returns, counted from the oracle's pairs: predicates over them, never copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from tests.oracle.ed_returns import Answer

# ICD-10-CM prefixes without the dot, each with the age (completed years) up to which it counts.
DiagnosisGroup = tuple[tuple[str, int | None], ...]


@dataclass(frozen=True)
class Measure:
    """One way of counting pairs; groups, and exclusions as well, are of main diagnoses.

    Ages are those at the return; in a group of index diagnoses that at the index visit.
    """

    code: str
    window_hours: int
    requires_admission: bool
    return_group: DiagnosisGroup | None = None
    index_group: DiagnosisGroup | None = None
    maximum_age_years: int | None = None
    minimum_age_years: int | None = None
    return_outcome: str | None = None
    requires_same_hospital: bool = False
    return_exclusion: DiagnosisGroup = ()
    index_exclusion: DiagnosisGroup = ()
    requires_complete_follow_up: bool = True
    requires_known_outcome: bool = True
    pairing: str = "after_discharge_home"


HEADLINE = Measure("ed_return_72h_admitted", 72, requires_admission=True)
ANY_72H = Measure("ed_return_72h_any", 72, requires_admission=False)


def followed_up(window_hours: int, data_through: datetime) -> pl.Expr:
    """Whether a visit was watched for the whole window, or its person was dead by then."""
    ended = pl.col("departed_at") + timedelta(hours=window_hours) <= data_through
    day_after = pl.col("deceased_on").cast(pl.Datetime("us", "UTC")) + timedelta(days=1)
    died_later = (day_after <= data_through).fill_null(False)
    died_here = pl.col("disposition_code").eq_missing("died")
    return ended | died_later | died_here


def _waited_for(measure: Measure, data_through: datetime) -> pl.Expr:
    """Whether a visit was watched for as long as the measure asks."""
    is_followed = followed_up(measure.window_hours, data_through)
    return is_followed | pl.lit(not measure.requires_complete_follow_up)


def _in_group(visit: str, group: DiagnosisGroup | None) -> pl.Expr:
    """Whether the main diagnosis of the index visit, or of the return, is in a group.

    Every diagnosis is in None, and none is in an empty group.
    """
    if not group:
        return pl.lit(group is None)
    code = pl.col(f"{visit}_diagnosis_code")
    counts = [
        code.str.starts_with(prefix).fill_null(False) & _at_most(visit, maximum)
        for prefix, maximum in group
    ]
    return pl.any_horizontal(counts)


def _at_most(visit: str, maximum_age_years: int | None) -> pl.Expr:
    """Whether the person was young enough at a visit; an unknown age is not."""
    if maximum_age_years is None:
        return pl.lit(True)
    return (pl.col(f"{visit}_age_years") <= maximum_age_years).fill_null(False)


def flagged(pairs: pl.DataFrame, measure: Measure, data_through: datetime) -> pl.DataFrame:
    """Add ``is_followed_up``, ``is_outcome_known``, ``is_index``, ``is_numerator`` of a measure."""
    in_window = (pl.col("elapsed") <= timedelta(hours=measure.window_hours)).fill_null(False)
    counts = in_window & _in_group("return", measure.return_group)
    counts &= _at_most("return", measure.maximum_age_years)
    if measure.minimum_age_years is not None:
        old_enough = pl.col("return_age_years") >= measure.minimum_age_years
        counts &= old_enough.fill_null(False)
    if measure.return_outcome is not None:
        counts &= pl.col("return_outcome_code").eq_missing(measure.return_outcome)
    if measure.requires_admission:
        counts &= pl.col("is_return_admitted").fill_null(False)
    counts &= ~_in_group("return", measure.return_exclusion)
    if measure.requires_same_hospital:
        counts &= pl.col("return_hospital_key").eq_missing(pl.col("hospital_key"))
    return (
        pairs.with_columns(
            is_followed_up=_waited_for(measure, data_through),
            # A return still open may yet turn out to be one that does not count.
            is_outcome_known=~(
                in_window
                & pl.col("return_outcome_code").eq_missing("unknown")
                & pl.lit(measure.requires_known_outcome)
            ),
        )
        .with_columns(
            is_index=pl.col("is_followed_up")
            & pl.col("is_outcome_known")
            & _in_group("index", measure.index_group)
            & ~_in_group("index", measure.index_exclusion)
        )
        .with_columns(is_numerator=pl.col("is_index") & counts)
    )


def monthly_counts(
    result: Answer,
    measures: Sequence[Measure],
    data_through: datetime,
    other_pairs: Mapping[str, pl.DataFrame] | None = None,
) -> pl.DataFrame:
    """Count each measure by the hospital and month of the index arrival, zeros included.

    Args:
        result: the oracle's answer.
        measures: what is counted.
        data_through: the end of the data.
        other_pairs: the pairs of pairings other than that of the answer.

    Returns:
        ``hospital_key, month_on, measure_code, numerator_count, index_visits_count,
        all_visits_count``: one row per measure for each hospital and month with any visit.
    """
    cell = ["hospital_key", "month_on"]
    parts = []
    for measure in measures:
        own_pairs = (other_pairs or {}).get(measure.pairing, result.pairs)
        pairs = flagged(own_pairs, measure, data_through)
        counted = pairs.group_by(cell).agg(
            pl.col("is_numerator").sum().cast(pl.Int64).alias("numerator_count"),
            pl.col("is_index").sum().cast(pl.Int64).alias("index_visits_count"),
        )
        seen = result.legs.group_by(cell).agg(
            _waited_for(measure, data_through).sum().cast(pl.Int64).alias("all_visits_count")
        )
        both = seen.join(counted, on=cell, how="left").with_columns(
            pl.lit(measure.code).alias("measure_code"),
            pl.col("numerator_count", "index_visits_count").fill_null(0),
        )
        parts.append(both)
    return (
        pl.concat(parts)
        .select(*cell, "measure_code", "numerator_count", "index_visits_count", "all_visits_count")
        .sort(*cell, "measure_code")
    )


def attrition(result: Answer, measure: Measure, data_through: datetime) -> pl.DataFrame:
    """Count the way from registrations to the numerator: ``hospital_key, step_code, count``."""
    pairs = flagged(result.pairs, measure, data_through)
    in_window = pl.col("elapsed") <= timedelta(hours=measure.window_hours)
    counted = pl.col("is_index")
    steps = {
        "registrations": result.registrations,
        "visits": result.legs,
        "index_visits": pairs,
        "follow_up_incomplete": pairs.filter(~pl.col("is_followed_up")),
        "outcome_unknown": pairs.filter("is_followed_up", ~pl.col("is_outcome_known")),
        "followed_index_visits": pairs.filter(counted),
        "returns_within_window": pairs.filter(counted, in_window),
        "numerator": pairs.filter("is_numerator"),
    }
    excluded = result.registrations.drop_nulls("exclusion_reason").select(
        "hospital_key", pl.col("exclusion_reason").alias("step_code")
    )
    named = [rows.select("hospital_key", step_code=pl.lit(name)) for name, rows in steps.items()]
    return pl.concat([excluded, *named]).group_by("hospital_key", "step_code").len("count")

"""Direct admissions after an index visit, found a second time.

Written from the definition, seen from the admission: which index visit was left last before it, and
had the person come back to an ED by then? The SQL goes the other way, along a line of time.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import polars as pl

from tests.oracle.ed_returns import PERSON_SCHEMA, _completed_years, _local_date

PAIRING = "direct_admission"
KEY = "index_visit_key"
ADMISSION_SCHEMA = pl.Schema(
    {
        "encounter_key": pl.String(),
        "person_key": pl.String(),
        "hospital_key": pl.String(),
        "time_zone": pl.String(),
        "visit_key": pl.String(),
        "admission_type_code": pl.String(),
        "admitted_at": pl.Datetime("us", "UTC"),
        "discharged_at": pl.Datetime("us", "UTC"),
        "main_diagnosis_code": pl.String(),
    }
)
Row = dict[str, Any]


def with_direct_admissions(
    pairs: pl.DataFrame, admissions: pl.DataFrame, persons: pl.DataFrame
) -> pl.DataFrame:
    """The oracle's pairs with the direct admission in the place of the return.

    Args:
        pairs: one row per index visit, of `tests.oracle.ed_returns.answer`.
        admissions: every inpatient encounter (``ADMISSION_SCHEMA``).
        persons: birth dates.
    """
    found = direct_admissions(pairs, admissions)
    rows = [{"index_visit_key": key, **admission} for key, admission in found.items()]
    schema = {"index_visit_key": pl.String(), **ADMISSION_SCHEMA}
    returned = pl.DataFrame(rows, schema=schema).join(
        persons.cast(PERSON_SCHEMA).select("person_key", "birth_on"), on="person_key", how="left"
    )
    returned = returned.with_columns(on=_local_date(returned, "admitted_at", "time_zone")).select(
        "index_visit_key",
        "encounter_key",
        pl.col("hospital_key").alias("return_hospital_key"),
        pl.col("admitted_at").alias("return_arrived_at"),
        pl.lit(True).alias("is_return_admitted"),
        pl.lit("admitted").alias("return_outcome_code"),
        pl.col("main_diagnosis_code").alias("return_diagnosis_code"),
        _completed_years("birth_on", "on").alias("return_age_years"),
    )
    kept = [name for name in pairs.columns if name not in returned.columns or name == KEY]
    return (
        pairs.select(kept)
        .drop("return_visit_key", "elapsed")
        .join(returned, on=KEY, how="left")
        .with_columns(elapsed=pl.col("return_arrived_at") - pl.col("departed_at"))
    )


def direct_admissions(pairs: pl.DataFrame, admissions: pl.DataFrame) -> dict[str, Row]:
    """Index visit -> the direct admission that follows it."""
    index: dict[str, list[Row]] = defaultdict(list)
    for pair in pairs.iter_rows(named=True):
        index[pair["person_key"]].append(pair)
    in_hospital: dict[str, list[Row]] = defaultdict(list)
    for admission in admissions.cast(ADMISSION_SCHEMA).iter_rows(named=True):
        if admission["person_key"] is not None:
            in_hospital[admission["person_key"]].append(admission)
    found: dict[str, Row] = {}
    for person, stays in in_hospital.items():
        for stay in sorted(stays, key=_begins):
            left = [pair for pair in index[person] if pair["departed_at"] < stay["admitted_at"]]
            if not left or not _is_direct(stay, stays):
                continue
            last = max(left, key=lambda one: (one["departed_at"], one["arrived_at"], one[KEY]))
            back = last["return_arrived_at"]
            if last[KEY] not in found and (back is None or back > stay["admitted_at"]):
                found[last[KEY]] = stay
    return found


def _begins(stay: Row) -> tuple[Any, str]:
    return stay["admitted_at"], stay["encounter_key"]


def _is_direct(stay: Row, stays: list[Row]) -> bool:
    goes_on = any(
        _begins(other) < _begins(stay)
        and max(other["discharged_at"] or other["admitted_at"], other["admitted_at"])
        >= stay["admitted_at"]
        for other in stays
    )
    unplanned = stay["admission_type_code"] in (None, "direct")
    return stay["visit_key"] is None and unplanned and not goes_on

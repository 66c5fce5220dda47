"""The measures' seed rows as the oracle counts them."""

from __future__ import annotations

import polars as pl

from governance.settings import PROJECT_ROOT
from tests.oracle.ed_return_measures import DiagnosisGroup, Measure

SEEDS = PROJECT_ROOT / "seeds" / "ed_returns"


def diagnosis_groups() -> dict[str, DiagnosisGroup]:
    """Group -> its prefixes, each with the oldest age it counts for."""
    groups = pl.read_csv(SEEDS / "ed_diagnosis_groups.csv", infer_schema=False)
    members = groups.sort("icd10_prefix").with_columns(pl.col("maximum_age_years").cast(pl.Int64))
    return {
        str(name): tuple(part.select("icd10_prefix", "maximum_age_years").rows())
        for (name,), part in members.group_by("group_code", maintain_order=True)
    }


def shipped_measures() -> list[Measure]:
    """Every measure of the seed."""
    rows = pl.read_csv(SEEDS / "ed_return_measures.csv", infer_schema=False)
    grouped = diagnosis_groups()
    return [
        Measure(
            code=row["measure_code"],
            window_hours=int(row["window_hours"]),
            requires_admission=row["requires_admission"].lower() == "true",
            return_group=grouped.get(row["return_diagnosis_group_code"]),
            index_group=grouped.get(row["index_diagnosis_group_code"]),
            maximum_age_years=int(row["maximum_age_years"]) if row["maximum_age_years"] else None,
            minimum_age_years=int(row["minimum_age_years"]) if row["minimum_age_years"] else None,
            return_outcome=row["return_outcome_code"] or None,
            requires_same_hospital=row["requires_same_hospital"].lower() == "true",
            return_exclusion=grouped.get(row["return_exclusion_group_code"], ()),
            index_exclusion=grouped.get(row["index_exclusion_group_code"], ()),
            requires_complete_follow_up=row["requires_complete_follow_up"].lower() == "true",
            requires_known_outcome=row["requires_known_outcome"].lower() == "true",
            pairing=row["pairing_code"],
        )
        for row in rows.iter_rows(named=True)
    ]

"""The oracle's input, read from a snapshot's Parquet files: nothing that dbt made is used."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import polars as pl

from governance.settings import Settings
from tests.oracle.ed_direct_admissions import ADMISSION_SCHEMA
from tests.oracle.ed_returns import INPATIENT_SCHEMA, PERSON_SCHEMA, REGISTRATION_SCHEMA


def table(settings: Settings, source: str, name: str) -> pl.DataFrame:
    """All rows of one table that stand (not soft-deleted)."""
    folder = Path(settings.lake) / "current" / source / name
    files = sorted(folder.glob("*.parquet"))
    frame = pl.concat([pl.read_parquet(file) for file in files], how="vertical")
    if "deleted_at" in frame.columns:
        frame = frame.filter(pl.col("deleted_at").is_null())
    return frame


def person_map(settings: Settings) -> pl.DataFrame:
    """``patient_id`` (registration token) and the person behind it."""
    return table(settings, "identity", "person_map").select(
        pl.col("registration_key").alias("patient_id"), "person_key"
    )


def data_through(settings: Settings) -> datetime:
    """The earliest feed ends what is known of the whole network."""
    earliest = table(settings, "ehr", "feeds")["data_through_at"].min()
    assert isinstance(earliest, datetime)
    return earliest


def registrations(settings: Settings) -> pl.DataFrame:
    """ED registrations as the oracle wants them."""
    main = _main_diagnoses(table(settings, "ehr", "ed_visit_diagnoses"), "visit_id")
    frame = (
        table(settings, "ehr", "ed_visits")
        .join(person_map(settings), on="patient_id", how="left")
        .join(
            table(settings, "ehr", "hospitals").select("hospital_id", "time_zone"),
            on="hospital_id",
            how="left",
        )
        .join(main, on="visit_id", how="left")
        .rename({"visit_id": "visit_key", "hospital_id": "hospital_key"})
    )
    return frame.select(list(REGISTRATION_SCHEMA)).cast(REGISTRATION_SCHEMA)


def _main_diagnoses(rows: pl.DataFrame, key: str) -> pl.DataFrame:
    """The diagnosis of sequence 1; where a correction left two of them, the one recorded last."""
    return (
        rows.filter(pl.col("sequence_number") == 1, pl.col("diagnosis_code").is_not_null())
        .sort("recorded_at", "diagnosis_id")
        .group_by(key)
        .agg(
            pl.col("diagnosis_code")
            .last()
            .str.replace_all(".", "", literal=True)
            .str.to_uppercase()
            .alias("main_diagnosis_code")
        )
    )


def persons(settings: Settings) -> pl.DataFrame:
    """Each person as the registration that was written last has them."""
    frame = (
        table(settings, "ehr", "patients")
        .join(person_map(settings), on="patient_id")
        .filter(pl.col("person_key").is_not_null())
        .sort("updated_at", "patient_id")
        .group_by("person_key")
        .agg(
            pl.col("birth_date").drop_nulls().last().alias("birth_on"),
            pl.col("deceased_on").drop_nulls().last(),
        )
    )
    return frame.select(list(PERSON_SCHEMA)).cast(PERSON_SCHEMA)


def inpatient(settings: Settings) -> pl.DataFrame:
    """Inpatient encounters that came through an ED visit, with their main discharge diagnosis."""
    main = _main_diagnoses(table(settings, "ehr", "inpatient_diagnoses"), "encounter_id")
    frame = (
        table(settings, "ehr", "inpatient_encounters")
        .filter(pl.col("ed_visit_id").is_not_null())
        .join(main, on="encounter_id", how="left")
        .rename({"encounter_id": "encounter_key", "ed_visit_id": "visit_key"})
    )
    return frame.select(list(INPATIENT_SCHEMA)).cast(INPATIENT_SCHEMA)


def admissions(settings: Settings) -> pl.DataFrame:
    """Every inpatient encounter, with its person and its main discharge diagnosis."""
    main = _main_diagnoses(table(settings, "ehr", "inpatient_diagnoses"), "encounter_id")
    frame = (
        table(settings, "ehr", "inpatient_encounters")
        .join(person_map(settings), on="patient_id", how="left")
        .join(
            table(settings, "ehr", "hospitals").select("hospital_id", "time_zone"),
            on="hospital_id",
            how="left",
        )
        .join(main, on="encounter_id", how="left")
        .rename(
            {
                "encounter_id": "encounter_key",
                "ed_visit_id": "visit_key",
                "hospital_id": "hospital_key",
            }
        )
    )
    return frame.select(list(ADMISSION_SCHEMA)).cast(ADMISSION_SCHEMA)

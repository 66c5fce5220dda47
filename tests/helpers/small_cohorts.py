"""A dbt project of the cohort models alone, over core tables that a test hands over."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import yaml

from governance.settings import PROJECT_ROOT

SCHEMAS: dict[str, dict[str, pl.DataType | type[pl.DataType]]] = {
    "fct_encounters": {
        "encounter_key": pl.String,
        "person_key": pl.String,
        "hospital_key": pl.String,
        "encounter_class_code": pl.String,
        "started_at": pl.Datetime("us"),
        "ended_at": pl.Datetime("us"),
    },
    "fct_ed_visits": {
        "ed_visit_key": pl.String,
        "leg_key": pl.String,
        "is_planned": pl.Boolean,
        "arrived_at": pl.Datetime("us"),
        "disposition_at": pl.Datetime("us"),
    },
    "fct_diagnoses": {
        "encounter_key": pl.String,
        "diagnosis_code": pl.String,
        "is_main": pl.Boolean,
    },
    "dim_patients": {
        "person_key": pl.String,
        "sex_code": pl.String,
        "birth_on": pl.Date,
        "deceased_on": pl.Date,
    },
    "dim_hospitals": {"hospital_key": pl.String, "time_zone": pl.String},
    "dim_diagnoses": {"diagnosis_code": pl.String, "ccsr_code": pl.String},
    "stg_reference__comorbidities": {
        "index_code": pl.String,
        "category_code": pl.String,
        "icd10_code": pl.String,
        "is_prefix": pl.Boolean,
    },
}


def write_project(root: Path, tables: dict[str, pl.DataFrame]) -> Path:
    """Write the project and its core tables; a table that is not given is empty."""
    for folder in ("macros", "cohorts", "models/intermediate/cohorts", "models/marts/cohorts"):
        shutil.copytree(PROJECT_ROOT / folder, root / folder)
    (root / "models" / "stub").mkdir()
    (root / "data").mkdir()
    for name, schema in SCHEMAS.items():
        path = root / "data" / f"{name}.parquet"
        tables.get(name, pl.DataFrame(schema=schema)).write_parquet(path)
        (root / "models" / "stub" / f"{name}.sql").write_text(f"select * from '{path}'")
    settings = yaml.safe_load((PROJECT_ROOT / "dbt_project.yml").read_text())
    settings["on-run-start"] = [hook for hook in settings["on-run-start"] if "lint" in hook]
    (root / "dbt_project.yml").write_text(yaml.safe_dump(settings))
    shutil.copy(PROJECT_ROOT / "profiles.yml", root)
    return root

"""A small warehouse file with the tables that publication and the dashboards read.

Made directly in DuckDB, so that pages and publication are tested in seconds, without a snapshot
and without dbt. Counts are drawn from fixed rates with a fixed seed; the `published` schema is
filled by `small_published.py`.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from tests.helpers.small_own_tables import fill_own, fill_strata, insert
from tests.helpers.small_published import fill_published

SNAPSHOT_ID = "20250210T031500Z"
TAKEN_AT = dt.datetime(2025, 2, 10, 3, 15)
DATA_THROUGH_AT = dt.datetime(2025, 2, 5, 4, 0)
MONTHS = [dt.date(2023 + month // 12, month % 12 + 1, 1) for month in range(6, 25)]

HOSPITALS = [
    ("north_general", "North General Hospital", "teaching", 5200),
    ("lakeside", "Lakeside University Hospital", "teaching", 4600),
    ("st_brigid", "St Brigid's Hospital", "community_large", 3900),
    ("eastgate", "Eastgate Medical Centre", "community_large", 3100),
    ("willow_creek", "Willow Creek Hospital", "community_medium", 1900),
    ("harbour", "Harbour Community Hospital", "community_medium", 1500),
    ("mill_valley", "Mill Valley Hospital", "small", 420),
    ("pine_ridge", "Pine Ridge Health Centre", "small", 18),
]
MEASURES = [
    # code, name, window hours, admission, group, maximum age, headline, rate per index visit
    (
        "ed_return_72h_admitted",
        "Return within 72 h with admission",
        72,
        True,
        None,
        None,
        True,
        0.0125,
    ),
    ("ed_return_72h_any", "Any return within 72 h", 72, False, None, None, False, 0.041),
    (
        "ed_return_7d_sentinel",
        "Sentinel return within 7 days",
        168,
        True,
        "sentinel",
        None,
        False,
        0.0003,
    ),
    (
        "ed_return_7d_ami",
        "Return within 7 days: myocardial infarction",
        168,
        True,
        "ami",
        None,
        False,
        0.0002,
    ),
    (
        "ed_return_7d_sah",
        "Return within 7 days: subarachnoid haemorrhage",
        168,
        True,
        "sah",
        None,
        False,
        0.00005,
    ),
    (
        "ed_return_7d_paediatric_sepsis",
        "Return within 7 days: paediatric sepsis",
        168,
        True,
        "sepsis",
        17,
        False,
        0.00005,
    ),
]
HEADLINE = "ed_return_72h_admitted"
ANY_RETURN = "ed_return_72h_any"
SENTINEL_PARTS = MEASURES[3:]
PAYERS = [
    ("provincial", "Provincial Health Plan", "public", 30000),
    ("mutual", "Mutual Benefit", "commercial", 5200),
    ("self", "Self-pay", "self_pay", 9),
]


@dataclass(frozen=True)
class Cell:
    """One hospital, month and measure."""

    hospital_key: str
    month_on: dt.date
    measure_code: str
    numerator: int
    index_visits: int
    all_visits: int


def ed_return_cells(seed: int = 7) -> list[Cell]:
    """Counts of every hospital, month and measure, nested as the measures are."""
    rng = np.random.default_rng(seed)
    rates = {row[0]: float(row[7]) for row in MEASURES}
    cells: list[Cell] = []
    for position, (hospital, _, _, volume) in enumerate(HOSPITALS):
        factor = 1 + 0.12 * np.sin(2.3 * position)
        for number, month in enumerate(MONTHS):
            visits = int(rng.poisson(volume))
            index = int(rng.binomial(visits, 0.78))
            # A shift at the second hospital, so that the chart has a special cause to show.
            lift = 1.45 if hospital == "lakeside" and number >= len(MONTHS) - 8 else 1.0
            any_return = int(rng.binomial(index, rates[ANY_RETURN] * factor))
            admitted = int(
                rng.binomial(any_return, min(1.0, rates[HEADLINE] / rates[ANY_RETURN] * lift))
            )
            parts = [int(rng.binomial(index, rates[row[0]])) for row in SENTINEL_PARTS]
            values = [admitted, any_return, sum(parts), *parts]
            cells.extend(
                Cell(hospital, month, row[0], value, index, visits)
                for row, value in zip(MEASURES, values, strict=True)
            )
    return cells


def build_small_warehouse(
    home: Path, *, cells: Sequence[Cell] | None = None, is_synthetic: bool = True
) -> Path:
    """Write ``warehouse.duckdb`` and the record of a green build under ``home``."""
    home.mkdir(parents=True, exist_ok=True)
    path = home / "warehouse.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as con:
        for schema in ("core", "marts", "quality", "published", "seeds"):
            con.execute(f"create schema {schema}")
        _dimensions(con, is_synthetic=is_synthetic)
        _ed_returns(con, list(cells) if cells is not None else ed_return_cells())
        fill_own(con, {row[0]: row[3] for row in HOSPITALS}, DATA_THROUGH_AT)
        fill_strata(con)
        _claims(con)
        _cohorts(con)
        _quality(con)
        fill_published(con)
    write_record(home)
    return path


def write_record(home: Path, **changes: Any) -> Path:
    """Write the build record that `ops.build` leaves after a whole green build."""
    warehouse = home / "warehouse.duckdb"
    record = {
        "snapshot_id": SNAPSHOT_ID,
        "finished_at": "2025-02-10T03:31:00+00:00",
        "is_green": True,
        "models": ["publication_gate"],
        "warehouse_bytes": warehouse.stat().st_size,
        "warehouse_mtime_ns": warehouse.stat().st_mtime_ns,
    } | changes
    path = home / "warehouse.build.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


def _dimensions(con: duckdb.DuckDBPyConnection, *, is_synthetic: bool) -> None:
    insert(
        con,
        "core.dim_hospitals",
        "hospital_key varchar, hospital_name varchar, peer_group_code varchar, "
        "time_zone varchar, zip3 varchar",
        [(key, name, group, "America/Toronto", "000") for key, name, group, _ in HOSPITALS],
    )
    insert(
        con,
        "core.dim_payers",
        "payer_key varchar, payer_name varchar, payer_type_code varchar",
        [row[:3] for row in PAYERS],
    )
    insert(
        con,
        "quality.rpt_snapshot",
        "snapshot_id varchar, taken_at timestamp, is_synthetic boolean, data_through_at timestamp",
        [(SNAPSHOT_ID, TAKEN_AT, is_synthetic, DATA_THROUGH_AT)],
    )
    insert(
        con,
        "published.measures",
        "measure_code varchar, measure_name varchar, pairing_code varchar, window_hours integer, "
        "requires_admission boolean, return_outcome_code varchar, "
        "return_diagnosis_group_code varchar, index_diagnosis_group_code varchar, "
        "return_exclusion_group_code varchar, index_exclusion_group_code varchar, "
        "minimum_age_years integer, maximum_age_years integer, requires_same_hospital boolean, "
        "requires_complete_follow_up boolean, requires_known_outcome boolean, "
        "denominator_code varchar, is_headline boolean, is_network_published boolean, "
        "definition varchar, source varchar, verified boolean",
        [
            (
                code,
                name,
                "after_discharge_home",
                hours,
                admitted,
                None,
                group,
                None,
                None,
                None,
                None,
                age,
                False,
                True,
                True,
                "all_visits",
                headline,
                True,
                f"{name}, counted from departure.",
                "Scutari fixture",
                group is None,
            )
            for code, name, hours, admitted, group, age, headline, _ in MEASURES
        ],
    )


def _ed_returns(con: duckdb.DuckDBPyConnection, cells: list[Cell]) -> None:
    insert(
        con,
        "marts.rpt_ed_returns_monthly",
        "hospital_key varchar, month_on date, measure_code varchar, numerator_count bigint, "
        "index_visits_count bigint, all_visits_count bigint, is_suppressed boolean, "
        "data_through_at timestamp",
        [
            (
                c.hospital_key,
                c.month_on,
                c.measure_code,
                c.numerator,
                c.index_visits,
                c.all_visits,
                False,
                DATA_THROUGH_AT,
            )
            for c in cells
        ],
    )
    con.execute(
        """
        create table marts.rpt_ed_returns_attrition as
        with headline as (
            select
                hospital_key,
                sum(all_visits_count)::bigint as visits,
                sum(index_visits_count)::bigint as index_visits,
                sum(numerator_count)::bigint as returns
            from marts.rpt_ed_returns_monthly
            where measure_code = 'ed_return_72h_admitted'
            group by hospital_key
        )
        select
            hospital_key, step_code, step_name, step_number, registrations_count, is_exclusion
        from headline, lateral (values
            (1, 'registrations', 'ED registrations', visits + visits // 200, false),
            (2, 'duplicate_registration', 'Double registrations', visits // 200, true),
            (3, 'visits', 'ED visits, every leg of a transfer', visits, false),
            (8, 'admitted', 'Admitted to hospital', visits - index_visits - 7, true),
            (10, 'lwbs', 'Left without being seen', 7, true),
            (17, 'index_visits', 'Index visits: discharged home', index_visits, false),
            (22, 'numerator', 'Numerator', returns, false)
        ) as steps(step_number, step_code, step_name, registrations_count, is_exclusion)
        """
    )


def _claims(con: duckdb.DuckDBPyConnection) -> None:
    rng = np.random.default_rng(11)
    claims: list[Any] = []
    members: list[Any] = []
    for month in MONTHS:
        for payer, _, _, size in PAYERS:
            count = int(rng.poisson(size * 0.2))
            adjudicated = int(count * 0.95)
            denied = int(rng.binomial(adjudicated, 0.11))
            uncovered = int(count * 0.02)
            billed = Decimal("412.50") * count
            allowed = (billed * Decimal("0.72")).quantize(Decimal("0.01"))
            paid = (allowed * Decimal("0.86")).quantize(Decimal("0.01"))
            row = [payer, count, adjudicated, denied, 0, uncovered, billed, allowed, paid]
            row += [allowed - paid, billed - allowed, denied * Decimal("412.50")]
            row += [allowed * uncovered / max(count, 1), paid * uncovered / max(count, 1)]
            claims.append([*row, size, month])
            members.append((payer, "medical", "first_day", size, size, month))
    money = ("billed", "allowed", "paid", "patient_responsibility", "adjustment", "denied")
    money += ("uncovered_allowed", "uncovered_paid")
    counts = ("claims", "adjudicated_claims", "denied_claims", "voided_claims", "uncovered_claims")
    columns = ["payer_key varchar", *(f"{name}_count bigint" for name in counts)]
    columns += [f"{name}_amount decimal(18,2)" for name in money]
    columns += ["member_months_count decimal(18,4)", "month_on date"]
    insert(con, "marts.rpt_claims_monthly", ", ".join(columns), claims)
    # As if every claim had been paid by hundreds: what payments hide has a unit test.
    con.execute(
        "create table core.fct_claims as select payer_key, month_on as incurred_month_on, true as "
        "is_covered, 0.0 as allowed_amount, 0.0 as paid_amount, 0.0 as "
        "patient_responsibility_amount from marts.rpt_claims_monthly"
    )
    insert(
        con,
        "marts.rpt_member_months",
        "payer_key varchar, product_code varchar, member_month_rule_code varchar, "
        "member_months_count decimal(18,4), members_count bigint, month_on date",
        members,
    )


def _cohorts(con: duckdb.DuckDBPyConnection) -> None:
    insert(
        con,
        "marts.dim_cohorts",
        "cohort_code varchar, cohort_name varchar, version_number integer, status_code varchar, "
        "owner_name varchar, description varchar, definition varchar",
        [
            (
                "type_2_diabetes",
                "Type 2 diabetes",
                1,
                "accepted",
                "Diabetes programme",
                "Adults with a diagnosis of type 2 diabetes.",
                '{"entry": "E11", "prior_observation_days": 365}',
            ),
            (
                "heart_failure",
                "Heart failure",
                1,
                "draft",
                "Cardiology",
                "Adults admitted with heart failure.",
                '{"entry": "I50", "prior_observation_days": 365}',
            ),
        ],
    )
    insert(
        con,
        "marts.rpt_cohort_attrition",
        "cohort_code varchar, rule_number integer, rule_name varchar, persons_count bigint, "
        "events_count bigint",
        [
            ("type_2_diabetes", 0, "Entry event: E11 in any diagnosis", 5230, 9120),
            ("type_2_diabetes", 1, "Observed for 365 days before", 4102, 6840),
            ("type_2_diabetes", 2, "Aged 18 or over", 4097, 6833),
            ("type_2_diabetes", 3, "First event", 3950, 3950),
            ("heart_failure", 0, "Entry event: I50 as main diagnosis", 812, 1031),
            ("heart_failure", 1, "Observed for 365 days before", 640, 771),
            ("heart_failure", 2, "No earlier transplant", 8, 9),
        ],
    )


def _quality(con: duckdb.DuckDBPyConnection) -> None:
    checks = []
    for table, size, bad in (("ed_visits", 412345, 17), ("patients", 230110, 3), ("claims", 97, 0)):
        for check, column in (("row_count", None), ("sum", "updated_at")):
            counted = check == "row_count"
            checks.append(
                (f"ehr|{table}|{column or ''}|{check}", "ehr", table, column, check)
                + ((size, size - bad, bad) if counted else (None, None, None))
                + (True, None if counted else "5e1f")
            )
    insert(
        con,
        "quality.rpt_reconciliation",
        "check_key varchar, source_name varchar, table_name varchar, column_name varchar, "
        "check_code varchar, source_count bigint, lake_count bigint, quarantined_count bigint, "
        "is_equal boolean, digest varchar",
        checks,
    )
    insert(
        con,
        "quality.rpt_quarantine",
        "quarantine_key varchar, source_name varchar, table_name varchar, column_name varchar, "
        "reason_code varchar, is_row_dropped boolean, row_count bigint",
        [
            (
                "ehr|ed_visits|acuity_code|unknown_code",
                "ehr",
                "ed_visits",
                "acuity_code",
                "unknown_code",
                False,
                44,
            ),
            (
                "ehr|ed_visits|arrived_at|out_of_range",
                "ehr",
                "ed_visits",
                "arrived_at",
                "out_of_range",
                True,
                17,
            ),
            (
                "ehr|patients|birth_date|mistyped",
                "ehr",
                "patients",
                "birth_date",
                "mistyped",
                True,
                3,
            ),
        ],
    )

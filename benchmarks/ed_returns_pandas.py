"""All measures from lake files in pandas: the definition in vectorised steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]

_DAY = pd.Timedelta(hours=24)
_MEASURES = {
    "ed_return_72h_admitted": (72, True, None),
    "ed_return_72h_any": (72, False, None),
    "ed_return_7d_sentinel": (168, True, "sentinel"),
    "ed_return_7d_ami": (168, True, "ami"),
    "ed_return_7d_sah": (168, True, "sah"),
    "ed_return_7d_paediatric_sepsis": (168, True, "sepsis"),
}
_LONGEST = pd.Timedelta(hours=168)
_FOREVER = pd.Timedelta(days=36500)
_VISITS = [
    "visit_id", "hospital_id", "patient_id", "disposition_code", "is_planned", "arrived_at",
    "disposition_at", "departed_at", "deleted_at",
]  # fmt: skip


def count(lake: Path) -> list[tuple[Any, ...]]:
    """Return hospital, month, measure, numerator, index visits and all visits, in that order."""
    people = pd.read_parquet(
        lake / "identity/person_map", columns=["registration_key", "person_key"]
    )
    visits = _visits(lake, people)
    legs, leg_of_visit = _legs(visits)
    legs = _follow(_stays(legs), lake, people)
    found = _grouped(_returns(legs), legs, leg_of_visit, lake, people)
    cells = ["hospital_id", "month"]
    rows: list[tuple[Any, ...]] = []
    for measure, (hours, is_admission_required, group) in _MEASURES.items():
        window = pd.Timedelta(hours=hours)
        everything = (legs["follow_up"] >= window).groupby([legs[cell] for cell in cells]).sum()
        within = (found["elapsed"] <= window).astype(bool)
        is_open = ~found["admitted_return"].eq(True) & found["disposition_return"].isna()
        index = found["follow_up"].ge(window) & ~(within & is_open)
        counted = index & within
        if is_admission_required:
            counted &= found["admitted_return"].eq(True)
        if group:
            counted &= found[group].eq(True)
        asked = found[cells].assign(numerator=counted, index=index).groupby(cells).sum()
        counts = everything.rename("everything").to_frame().join(asked).fillna(0).reset_index()
        rows.extend(
            (r.hospital_id, r.month.date(), measure, int(r.numerator), int(r[4]), int(r.everything))
            for r in counts[[*cells, "everything", "numerator", "index"]].itertuples(index=False)
        )
    return sorted(rows)


def _visits(lake: Path, people: pd.DataFrame) -> pd.DataFrame:
    visits = pd.read_parquet(lake / "ehr/ed_visits", columns=_VISITS)
    visits = visits[visits["deleted_at"].isna()]
    visits = visits.merge(people, "left", left_on="patient_id", right_on="registration_key")
    known = visits["departed_at"].fillna(visits["disposition_at"])
    left = known.fillna(visits["arrived_at"])
    alone = visits["person_key"].isna() | visits["arrived_at"].isna()
    return visits.assign(
        planned=visits["is_planned"].eq(True),
        known=known.notna(),
        left=left.where(left >= visits["arrived_at"], visits["arrived_at"]),
        subject=visits["visit_id"].where(alone, visits["person_key"]),
    )


def _legs(visits: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    place = ["subject", "hospital_id"]
    visits = visits.sort_values([*place, "arrived_at", "visit_id"])
    busy = visits.groupby(place)["left"].cummax()
    same = (visits[place] == visits[place].shift()).all(axis=1)
    starts = ~(same & (visits["arrived_at"] <= busy.shift()))
    visits["leg"] = starts.cumsum()
    open_ = visits["disposition_code"].isna() & ~visits["known"]
    order = ["leg", "open", "left", "arrived_at", "visit_id"]
    last = visits.assign(open=open_).sort_values(order).drop_duplicates("leg", keep="last")
    last = last.set_index("leg")[["disposition_code", "known", "visit_id"]]
    columns = ["leg", *place, "person_key", "visit_id", "planned", "arrived_at"]
    legs = visits.loc[starts, columns].set_index("leg").join(last.add_suffix("_last"))
    rank = [*order[1:], "leg"]
    members = visits.assign(open=open_)[[*dict.fromkeys(rank)]]
    return legs.join(visits.groupby("leg")["left"].max()), members


def _stays(legs: pd.DataFrame) -> pd.DataFrame:
    legs = legs.sort_values(["subject", "arrived_at", "visit_id"])
    before = legs.shift()
    goes_on = (
        (legs["subject"] == before["subject"])
        & (before["disposition_code_last"] == "transferred")
        & (legs["hospital_id"] != before["hospital_id"])
        & (legs["arrived_at"] <= before["left"] + _DAY)
    )
    return legs.assign(stay=(~goes_on).cumsum())


def _follow(legs: pd.DataFrame, lake: Path, people: pd.DataFrame) -> pd.DataFrame:
    hospitals = pd.read_parquet(lake / "ehr/hospitals", columns=["hospital_id", "time_zone"])
    through = pd.read_parquet(lake / "ehr/feeds")["data_through_at"].min()
    columns = ["patient_id", "deceased_on", "updated_at", "deleted_at"]
    patients = pd.read_parquet(lake / "ehr/patients", columns=columns)
    patients = patients[patients["deleted_at"].isna() & patients["deceased_on"].notna()]
    deaths = patients.merge(people, left_on="patient_id", right_on="registration_key")
    deaths = deaths.sort_values(["updated_at", "patient_id"]).drop_duplicates(
        "person_key", keep="last"
    )
    died = pd.to_datetime(deaths["deceased_on"], utc=True) + _DAY
    died.index = deaths["person_key"]
    day = pd.Series(pd.NaT, index=legs.index, dtype="datetime64[us]")
    for hospital, zone in hospitals.itertuples(index=False):
        local = legs.loc[legs["hospital_id"] == hospital, "arrived_at"].dt.tz_convert(zone)
        day.loc[local.index] = local.dt.tz_localize(None).dt.normalize()
    is_dead = legs["person_key"].map(died).le(through)
    is_dead |= legs["disposition_code_last"].eq("died")
    follow_up = (through - legs["left"]).fillna(pd.Timedelta(0)).mask(is_dead, _FOREVER)
    return legs.assign(day=day, month=day.dt.to_period("M").dt.to_timestamp(), follow_up=follow_up)


def _returns(legs: pd.DataFrame) -> pd.DataFrame:
    by_stay = legs.groupby("stay")
    final = legs.drop_duplicates("stay", keep="last").set_index("stay")
    first = legs.drop_duplicates("stay").set_index("stay")
    admitted = (legs["disposition_code_last"] == "admitted").groupby(legs["stay"]).any()
    stays = final.assign(
        started=by_stay["arrived_at"].min(),
        started_on=first["day"],
        is_planned=first["planned"],
        first_id=first["visit_id"],
        admitted=admitted,
        disposition=final["disposition_code_last"],
    ).reset_index()
    stays = stays[stays["person_key"].notna() & ~stays["is_planned"] & stays["started"].notna()]
    index = stays[stays["disposition"].eq("home") & stays["known_last"]].sort_values("left")
    later = stays[~stays["disposition"].eq("lwbs")].sort_values(["started", "first_id"])
    later = later[["person_key", "stay", "started", "started_on", "admitted", "disposition"]]
    later.columns = ["person_key", *(f"{name}_return" for name in later.columns[1:])]
    found = pd.merge_asof(
        index, later, left_on="left", right_on="started_return", by="person_key",
        direction="forward", allow_exact_matches=False,
    )  # fmt: skip
    found = found.sort_values(["left", "arrived_at", "visit_id_last"])
    shared = found["stay_return"].notna() & found.duplicated("stay_return", keep="last")
    found.loc[shared, "started_return"] = pd.NaT
    return found.assign(elapsed=found["started_return"] - found["left"])


def _grouped(
    found: pd.DataFrame,
    legs: pd.DataFrame,
    leg_of_visit: pd.DataFrame,
    lake: Path,
    people: pd.DataFrame,
) -> pd.DataFrame:
    """Say of every admitted return within a week to which diagnosis groups it belongs."""
    suspects = found[found["admitted_return"].eq(True) & found["elapsed"].le(_LONGEST)]
    suspects = suspects[["stay_return", "started_on_return", "person_key"]]
    parts = suspects.merge(
        legs.reset_index()[["leg", "stay", "arrived_at", "visit_id"]],
        left_on="stay_return", right_on="stay",
    ).merge(leg_of_visit, on="leg", suffixes=("_leg", ""))  # fmt: skip
    codes = _discharge_codes(parts, lake).combine_first(_ed_codes(parts, lake))
    codes = codes.str.replace(".", "", regex=False).str.upper()
    suspects = suspects.merge(_births(lake, people), on="person_key", how="left")
    suspects = suspects.assign(code=suspects["stay_return"].map(codes).fillna(""))
    grown_up = suspects["birth_date"] + pd.DateOffset(years=18)
    groups = pd.DataFrame(
        {
            "stay_return": suspects["stay_return"],
            "ami": suspects["code"].str.startswith(("I21", "I22")),
            "sah": suspects["code"].str.startswith("I60"),
            "sepsis": suspects["code"].str.startswith(("A40", "A41"))
            & suspects["started_on_return"].lt(grown_up),
        }
    )
    groups["sentinel"] = groups[["ami", "sah", "sepsis"]].any(axis=1)
    return found.merge(groups, on="stay_return", how="left")


def _main_diagnoses(lake: Path, table: str, key: str) -> pd.DataFrame:
    columns = [key, "diagnosis_id", "diagnosis_code", "sequence_number", "recorded_at"]
    codes = pd.read_parquet(lake / f"ehr/{table}", columns=[*columns, "deleted_at"])
    codes = codes[codes["deleted_at"].isna() & codes["sequence_number"].eq(1)]
    codes = codes.dropna(subset="diagnosis_code").sort_values(["recorded_at", "diagnosis_id"])
    return codes.drop_duplicates(key, keep="last")[[key, "diagnosis_code"]]


def _discharge_codes(parts: pd.DataFrame, lake: Path) -> pd.Series:
    columns = ["encounter_id", "ed_visit_id", "admitted_at", "deleted_at"]
    encounters = pd.read_parquet(lake / "ehr/inpatient_encounters", columns=columns)
    encounters = encounters[encounters["deleted_at"].isna()].merge(
        _main_diagnoses(lake, "inpatient_diagnoses", "encounter_id"), on="encounter_id"
    )
    found = parts.merge(encounters, left_on="visit_id", right_on="ed_visit_id")
    found = found.sort_values(["admitted_at", "encounter_id"]).drop_duplicates("stay_return")
    return found.set_index("stay_return")["diagnosis_code"]


def _ed_codes(parts: pd.DataFrame, lake: Path) -> pd.Series:
    found = parts.merge(_main_diagnoses(lake, "ed_visit_diagnoses", "visit_id"), on="visit_id")
    order = ["arrived_at_leg", "visit_id_leg", "open", "left", "arrived_at", "visit_id"]
    found = found.sort_values(order).drop_duplicates("stay_return", keep="last")
    return found.set_index("stay_return")["diagnosis_code"]


def _births(lake: Path, people: pd.DataFrame) -> pd.DataFrame:
    parts = []
    for table, key in (("ehr/patients", "patient_id"), ("billing/members", "member_id")):
        columns = [key, "birth_date", "updated_at", "deleted_at"]
        rows = pd.read_parquet(lake / table, columns=columns)
        parts.append(rows[rows["deleted_at"].isna()].rename(columns={key: "registration_key"}))
    rows = pd.concat(parts).merge(people, on="registration_key").dropna(subset="person_key")
    rows = rows.sort_values(["updated_at", "registration_key"], na_position="first")
    rows = rows.drop_duplicates("person_key", keep="last")[["person_key", "birth_date"]]
    return rows.assign(birth_date=pd.to_datetime(rows["birth_date"]))

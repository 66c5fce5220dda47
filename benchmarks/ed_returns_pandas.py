"""The headline measure from lake files in pandas: the definition in vectorised steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

_DAY = pd.Timedelta(hours=24)
_WINDOW = pd.Timedelta(hours=72)
_VISITS = [
    "visit_id", "hospital_id", "patient_id", "disposition_code", "is_planned", "arrived_at",
    "disposition_at", "departed_at", "deleted_at",
]  # fmt: skip


def count(lake: Path) -> list[tuple[Any, ...]]:
    """Return hospital, month, numerator, index visits and all visits, in that order."""
    people = pd.read_parquet(
        lake / "identity/person_map", columns=["registration_key", "person_key"]
    )
    legs = _stays(_legs(_visits(lake, people)))
    legs = _follow(legs, lake, people)
    legs = legs[legs["month"].notna()]
    cells = ["hospital_id", "month"]
    counts = legs.groupby(cells)["followed"].sum().rename("everything").to_frame()
    found = _returns(legs)
    found = found[found["followed"]]
    within = (found["started_return"] - found["left"] <= _WINDOW) & found["started_return"].notna()
    unknown = within & ~found["admitted_return"].eq(True) & found["disposition_return"].isna()
    found = found.assign(numerator=within & found["admitted_return"].eq(True), index=~unknown)
    counts = counts.join(found.groupby(cells)[["numerator", "index"]].sum()).fillna(0).reset_index()
    columns = ["hospital_id", "month", "numerator", "index", "everything"]
    rows = counts.sort_values(cells)[columns].itertuples(index=False)
    return [(r[0], r[1].date(), int(r[2]), int(r[3]), int(r[4])) for r in rows]


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


def _legs(visits: pd.DataFrame) -> pd.DataFrame:
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
    return legs.join(visits.groupby("leg")["left"].max())


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
    month = pd.Series(pd.NaT, index=legs.index, dtype="datetime64[us]")
    for hospital, zone in hospitals.itertuples(index=False):
        local = legs.loc[legs["hospital_id"] == hospital, "arrived_at"].dt.tz_convert(zone)
        month.loc[local.index] = local.dt.tz_localize(None).dt.to_period("M").dt.to_timestamp()
    is_dead = legs["person_key"].map(died).le(through)
    followed = legs["left"].add(_WINDOW).le(through) | is_dead
    return legs.assign(month=month, followed=followed | legs["disposition_code_last"].eq("died"))


def _returns(legs: pd.DataFrame) -> pd.DataFrame:
    by_stay = legs.groupby("stay")
    final = legs.drop_duplicates("stay", keep="last").set_index("stay")
    first = legs.drop_duplicates("stay").set_index("stay")
    admitted = (legs["disposition_code_last"] == "admitted").groupby(legs["stay"]).any()
    stays = final.assign(
        started=by_stay["arrived_at"].min(),
        is_planned=first["planned"],
        first_id=first["visit_id"],
        admitted=admitted,
        disposition=final["disposition_code_last"],
    ).reset_index()
    stays = stays[stays["person_key"].notna() & ~stays["is_planned"] & stays["started"].notna()]
    index = stays[stays["disposition"].eq("home") & stays["known_last"]].sort_values("left")
    later = stays[~stays["disposition"].eq("lwbs")].sort_values(["started", "first_id"])
    later = later[["person_key", "stay", "started", "admitted", "disposition"]]
    later.columns = ["person_key", *(f"{name}_return" for name in later.columns[1:])]
    found = pd.merge_asof(
        index, later, left_on="left", right_on="started_return", by="person_key",
        direction="forward", allow_exact_matches=False,
    )  # fmt: skip
    found = found.sort_values(["left", "arrived_at", "visit_id_last"])
    shared = found["stay_return"].notna() & found.duplicated("stay_return", keep="last")
    found.loc[shared, "started_return"] = pd.NaT
    return found

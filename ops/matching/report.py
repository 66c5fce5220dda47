"""How well registrations are matched: counts only, and on planted data how many pairs are right."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from extract.identity.matching.grouping import FIGURES_FILE, REVIEW
from extract.lake import current_directory
from extract.zones import locked
from governance.errors import MatchError
from governance.settings import Settings
from ops.matching.decisions import crosswalk, opened

SMALLEST_SHOWN = 11

_TRUTH = """
    create temp table truth as
    with people as (
        select person_number, any_value(kinship) as kinship
        from read_parquet($registrations) group by person_number
    ), registrations as (
        select
            'ehr' as source_name, patient_id::varchar as registration_id, person_number,
            [link_defect::varchar, name_fault::varchar, kinship::varchar,
                case when has_moved then 'moved' end] as kinds
        from read_parquet($registrations)
        union all
        select
            'billing', member_id::varchar, m.person_number,
            [case when not has_health_number then 'health_number_missing' end,
                p.kinship::varchar]
        from read_parquet($members) as m
        left join people as p using (person_number)
    )
    select
        row_number() over () as number, c.person_key, r.person_number,
        list_filter(r.kinds, lambda kind: kind is not null) as kinds
    from registrations as r
    inner join crosswalk as c using (source_name, registration_id)
    where r.person_number is not null and c.person_key is not null
"""
_PAIRS = """
    create temp table pairs as
    with joined as (
        select l.number as left_number, r.number as right_number,
            l.kinds as left_kinds, r.kinds as right_kinds, true as is_true,
            l.person_key = r.person_key as is_found
        from truth as l
        inner join truth as r on l.person_number = r.person_number and l.number < r.number
        union all
        select l.number, r.number, l.kinds, r.kinds, false, true
        from truth as l
        inner join truth as r on l.person_key = r.person_key and l.number < r.number
        where l.person_number <> r.person_number
    )
    select *, list_distinct(list_concat(left_kinds, right_kinds)) as kinds from joined
"""
_COUNTS = """
    select
        count(*) filter (is_true and is_found), count(*) filter (is_true),
        count(*) filter (not is_true)
    from {source}
"""


@dataclass(frozen=True)
class Quality:
    """Pairs of registrations: rightly joined, true, and wrongly joined."""

    found: int
    true: int
    wrong: int

    @property
    def precision(self) -> float:
        """The share of joined pairs that are one person."""
        return self.found / max(1, self.found + self.wrong)

    @property
    def recall(self) -> float:
        """The share of one person's pairs that are joined."""
        return self.found / max(1, self.true)

    @property
    def f_measure(self) -> float:
        """The harmonic mean of precision and recall."""
        return 2 * self.precision * self.recall / max(1e-12, self.precision + self.recall)

    def __str__(self) -> str:
        return (
            f"precision {self.precision:.5f}, recall {self.recall:.4f}, F {self.f_measure:.4f} "
            f"({self.true:,} true pairs, {self.true - self.found:,} missed, {self.wrong:,} wrong)"
        )


def match_report(settings: Settings) -> list[str]:
    """Return the report's lines: aggregates only, small numbers hidden on real data.

    Raises:
        MatchError: there is no snapshot yet, or it was taken before there was matching.
        SnapshotError: a snapshot is being taken, or the vault is not as it was written.
    """
    shown = _exact if settings.is_synthetic else _rounded
    figures = _figures(settings)
    persons = sum(figures["sizes"].values())
    lines = [
        f"method: {figures['method']}; decisions applied: {figures['decisions']}",
        f"registrations: {shown(figures['registrations'])}, persons: {shown(persons)}, "
        f"pairs to review: {shown(figures['to_review'])}",
        "pairs: " + _listed({_BANDS[k]: shown(v) for k, v in figures["bands"].items()}),
        "persons by registrations: "
        + _listed({"10 and more" if k == "10" else k: shown(v) for k, v in _sizes(figures)}),
    ]
    if figures["left_out"]:
        left_out = _listed({k: shown(v) for k, v in figures["left_out"].items()})
        lines.append(f"registrations in blocks too large to look at: {left_out}")
    ledger = settings.home / "demo"
    if settings.is_synthetic and (ledger / "registrations.parquet").is_file():
        whole, by_kind = quality(settings)
        lines += [f"against the planted truth: {whole}"]
        lines += [f"  {kind}: {part}" for kind, part in by_kind.items()]
    return lines


_BANDS = {
    "exact": "same number and birth date",
    "probable": "joined by probability",
    "uncertain": "uncertain",
    "two": "two persons",
}


def quality(settings: Settings) -> tuple[Quality, dict[str, Quality]]:
    """Compare the current persons with those that the demo planted; as a whole and by kind.

    Raises:
        MatchError: there is no snapshot yet.
        SnapshotError: a snapshot is being taken, or the vault is not as it was written.
    """
    ledger = settings.home / "demo"
    files = {name: str(ledger / f"{name}.parquet") for name in ("registrations", "members")}
    with locked(settings):
        _, version = opened(settings)
        known = crosswalk(version)
    with duckdb.connect(":memory:") as connection:
        connection.execute("set threads = 2")
        connection.register("crosswalk", known)
        connection.execute(_TRUTH, files)
        connection.execute(_PAIRS)
        whole = _quality(connection, "pairs")
        kinds = connection.execute(
            "select distinct unnest(kinds) as kind from pairs order by kind"
        ).fetchall()
        by_kind = {
            kind: _quality(connection, f"(from pairs where list_contains(kinds, '{kind}'))")
            for (kind,) in kinds
        }
        plain = _quality(connection, "(from pairs where len(kinds) = 0)")
    return whole, {**by_kind, "none of these": plain}


def _quality(connection: duckdb.DuckDBPyConnection, source: str) -> Quality:
    return Quality(*connection.execute(_COUNTS.format(source=source)).fetchall()[0])


def _figures(settings: Settings) -> dict[str, Any]:
    current = current_directory(settings.lake)
    path = settings.restricted / REVIEW / (current.name if current else "none") / FIGURES_FILE
    try:
        body = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MatchError(
            f"There are no figures of matching for the current snapshot ({path}): take one with "
            "`scutari snapshot`."
        ) from None
    return dict(body)


def _sizes(figures: dict[str, Any]) -> list[tuple[str, int]]:
    return sorted(figures["sizes"].items(), key=lambda item: int(item[0]))


def _listed(counts: dict[str, str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def _exact(count: int) -> str:
    return f"{count:,}"


def _rounded(count: int) -> str:
    return f"under {SMALLEST_SHOWN}" if 0 < count < SMALLEST_SHOWN else f"{count:,}"

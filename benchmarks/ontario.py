"""Ontario's programme at its published size: raw tables to dashboard file, time and memory.

The counts that the warehouse must come to are published (CJEM 2017, abstract P037) or planted
(abdominal pain, appendicitis); a figure that is off is an error, however fast it came.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import duckdb

from benchmarks import measure
from governance.settings import load_settings

EXPECTED = {
    "ED visits": 3_235_751,
    "admitted 72-h returns": 33_956,
    "sentinel returns": 233,
    "SAH": 11,
    "AMI": 191,
    "paediatric sepsis": 31,
    "with abdominal pain": 6_112,
    "with appendicitis": 1_290,
}
_STAGES = {
    "plant": "from demo.network import plant_network; plant_network(home, scale='ontario')",
    "snapshot": "from chart_audit.hand_over import hand_over; "
    "from extract.snapshot import take_snapshot; "
    "hand_over(load_settings(home)); take_snapshot(load_settings(home))",
    "build": "from ops.build import run_build; run_build(load_settings(home))",
    "publish": "from ops.publication.publish import publish; publish(load_settings(home))",
}
_HEAD = (
    "import sys; from pathlib import Path; from governance.settings import load_settings; "
    "home = Path(sys.argv[1]); "
)
_MEASURES = """
    select measure_code, cast(sum(numerator_count) as bigint), cast(sum(all_visits_count) as bigint)
    from marts.rpt_ed_returns_monthly group by measure_code
"""
_RETURNS = """
    select
        count(*) filter (index_complaint_code = 'abdominal_pain'),
        count(*) filter (left(return_diagnosis_code, 3) in ('K35', 'K36', 'K37'))
    from core.fct_ed_returns
    where is_return_admitted and elapsed_seconds <= 72 * 3600 and is_outcome_known
"""


def main(home: Path, rows: int | None) -> Iterator[str]:
    """Plant once, then snapshot, build and publish, each in a process of its own."""
    total = 0.0
    for name, body in _STAGES.items():
        if name == "plant" and (home / "sources" / "ehr.sqlite").exists():
            continue
        done = measure.run([sys.executable, "-c", _HEAD + body, str(home)])
        total += done.wall if name != "plant" else 0
        yield f"{name:<10} {done.wall:6.0f} s {done.peak_mb:8.0f} MB"
    yield f"raw tables to dashboard file: {total / 60:.1f} minutes"
    found = counts(load_settings(home).warehouse)
    if found != EXPECTED:
        raise RuntimeError(f"The warehouse comes to {found}, the programme to {EXPECTED}.")
    yield "counts: " + ", ".join(f"{value:,} {name}" for name, value in found.items())


def counts(warehouse: Path) -> dict[str, int]:
    """The programme's counts as the warehouse has them."""
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        measures = {row[0]: row[1:] for row in connection.execute(_MEASURES).fetchall()}
        pain, appendicitis = connection.execute(_RETURNS).fetchall()[0]
    return {
        "ED visits": measures["ed_return_72h_admitted"][1],
        "admitted 72-h returns": measures["ed_return_72h_admitted"][0],
        "sentinel returns": measures["ed_return_7d_sentinel"][0],
        "SAH": measures["ed_return_7d_sah"][0],
        "AMI": measures["ed_return_7d_ami"][0],
        "paediatric sepsis": measures["ed_return_7d_paediatric_sepsis"][0],
        "with abdominal pain": pain,
        "with appendicitis": appendicitis,
    }

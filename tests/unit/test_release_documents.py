"""What lies beside a release opens as its README says, and tells no more than it should."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ops.release.attacks import Attacked
from ops.release.documents import DICTIONARY, README, TERMS, VIEWS, Release, write_documents
from ops.release.linkage import Linkage
from ops.release.noisy_match import Match
from ops.release.report import Loss, Risk, risk_report

RISKS = [
    Risk("two_events", "before", 20_000, 1, 313, 2_007, 1.0, 0.123456),
    Risk("two_events", "after", 9_000, 24, 0, 0, 1 / 24, 0.012345),
]
LOSSES = [
    Loss(1, "person_sample", 40_003, 20_007, 60_001, 30_049, 100_000, 50_051),
    Loss(2, "small_classes", 20_007, 20_004, 30_049, 11_111, 50_051, 15_000),
]
ATTACKED = Attacked(
    (
        ("open", (Linkage("everything", 20_000, 12_345, 37, 7, 321.0),)),
        ("limited", (Linkage("unchanged", 20_000, 0, 0, 0, 0.0),)),
    ),
    0,
    Match(1000, 500, 17, 13, 6.5),
)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    folder = tmp_path / "it's here"
    folder.mkdir()
    patients = pa.table({"person_key": pa.array([7, 9]), "age_band": ["05-17", "75-89"]})
    visits = pa.table({"person_key": pa.array([7, 7, 9]), "visit_year": pa.array([2024] * 3)})
    pq.write_table(patients, folder / "release_patients.parquet")
    pq.write_table(visits, folder / "release_ed_visits.parquet")
    release = Release(
        name="asthma-2026",
        profile="limited",
        agreement="DUA-2026-0017",
        recipient="uni-a",
        rows={"release_patients": 2, "release_ed_visits": 3},
        documentation={
            "release_patients": {
                "description": "One row per person: the network's.",
                "columns": {"person_key": "The person.", "age_band": "Age,\nin bands."},
            },
            "release_ed_visits": {
                "description": "One row per stay.",
                "columns": {"person_key": "The person.", "visit_year": "The year."},
            },
        },
        is_synthetic=True,
    )
    write_documents(release, folder)
    return folder


def test_the_query_of_the_readme_runs_where_the_files_are(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (directory / README).read_text(encoding="utf-8")
    (block,) = re.findall(r"```sql\nshow tables;\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(directory)
    with duckdb.connect(VIEWS, read_only=True) as connection:
        assert connection.execute("show tables").fetchall() == [
            ("release_ed_visits",),
            ("release_patients",),
        ]
        # One person of two stays and one of one.
        assert connection.execute(block).fetchall() == [("05-17", 1, 2), ("75-89", 1, 1)]


def test_it_runs_from_anywhere_once_told_where_the_files_are(directory: Path) -> None:
    assert Path.cwd() != directory
    with duckdb.connect(str(directory / VIEWS), read_only=True) as connection:
        with pytest.raises(duckdb.Error, match="No files found"):
            connection.execute("from release_patients")
        place = str(directory).replace("'", "''")
        connection.execute(f"set file_search_path = '{place}'")
        assert len(connection.execute("from release_patients").fetchall()) == 2


def test_no_file_names_the_place_where_it_was_made(directory: Path) -> None:
    for path in directory.iterdir():
        assert os.fsencode(directory.parent) not in path.read_bytes(), path.name


def test_every_column_is_in_the_dictionary(directory: Path) -> None:
    with (directory / DICTIONARY).open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["table", "column", "type", "meaning"],
            ["release_patients", "person_key", "int64", "The person."],
            ["release_patients", "age_band", "string", "Age, in bands."],
            ["release_ed_visits", "person_key", "int64", "The person."],
            ["release_ed_visits", "visit_year", "int64", "The year."],
        ]


def test_the_terms_are_those_of_the_profile_and_name_the_agreement(directory: Path) -> None:
    terms = (directory / TERMS).read_text(encoding="utf-8")
    assert "given to uni-a under the data use agreement DUA-2026-0017." in terms
    assert "Destroy the files at the end of the agreement" in terms
    assert "nobody in them exists" in terms


def test_the_report_shows_shares_and_no_count_to_the_last_person() -> None:
    page = risk_report(
        "x <limited>", RISKS, LOSSES, {"maximum_stays": 4}, ATTACKED, is_synthetic=False
    )
    # 2,007 of 20,000 and 313 of 20,000.
    assert "<td>10.0 %</td>" in page and "<td>1.6 %</td>" in page
    assert "<td>0.1235</td>" in page and "<td>24</td>" in page and "<td>0.042</td>" in page
    assert "20,000 → 20,000" in page and "30,000 → 11,100" in page and "50,100 → 15,000" in page
    for count in (40_003, 20_007, 20_004, 30_049, 11_111, 50_051, 2_007, 313):
        assert f"{count:,}" not in page and str(count) not in re.sub(r"<svg.*?</svg>", "", page)
    assert "x &lt;limited&gt;" in page
    assert page.count("<svg") == 3
    assert "<script" not in page and "synthetic" not in page


def test_a_person_more_moves_no_figure_of_the_cost() -> None:
    one_more = [LOSSES[0], Loss(2, "small_classes", 20_007, 20_005, 30_049, 11_112, 50_051, 15_001)]
    first, second = (
        re.sub(
            r"<svg.*?</svg>", "", risk_report("x", RISKS, losses, {}, ATTACKED, is_synthetic=True)
        )
        for losses in (LOSSES, one_more)
    )
    assert first == second


def test_the_report_shows_what_attacks_found_without_small_numbers() -> None:
    page = risk_report("x", RISKS, LOSSES, {}, ATTACKED, is_synthetic=True)
    # Of 12,345 in both a guess finds 321: 0.026. 37 links, 7 of them maybe right.
    row = "<td>12,300</td><td>under 50</td><td>under 11</td><td>0.026</td>"
    assert f"every column that both have; of dates the days between them</td>{row}" in page
    assert "<td>none</td><td>none</td><td>none</td><td>too few to say</td>" in page
    # 13 of 17 named rightly, of 500: 2.6 %; a guess finds 6.5 of them.
    for share in ("<td>76 %</td>", "<td>3 %</td>", "<td>0.013</td>"):
        assert share in page
    text = re.sub(r"<svg.*?</svg>", "", page)
    for count in ("12,345", "12345", ">37<", ">7<", ">17<", ">13<", "321"):
        assert count not in text
    assert "Not every earlier release was at hand" not in page


def test_the_report_says_which_earlier_releases_are_not_measured() -> None:
    few = Attacked((), 1, Match(60, 30, 0, 0, 0.4))
    page = risk_report("x", RISKS, LOSSES, {}, few, is_synthetic=True)
    assert "Not every earlier release was at hand" in page
    assert "There is no earlier release at hand that counts" in page
    # Nobody is named: there is nothing to be right of. Of thirty in the release none is found.
    assert "named rightly</td><td>too few to say</td>" in page and "<td>0 %</td>" in page

"""A hospital's report: its figures against hand-worked ones, and what is refused."""

from __future__ import annotations

import datetime as dt
import re
import shutil
import stat
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import duckdb
import polars as pl
import pytest
from click.testing import CliRunner
from pypdf import PdfReader

from governance.errors import ReportError
from governance.settings import Settings
from ops.cli.main import main
from ops.publication.publish import publish
from ops.reports import write
from ops.reports.audit import AuditFigures, NetworkFindings
from ops.reports.quarters import read_quarter
from ops.reports.sections import audit_words
from ops.reports.wording import NONE
from ops.reports.write import opened_batch
from tests.helpers.reported import QUARTER, Read, copied, published_home, read, words_of
from tests.helpers.reported import write as write_report
from tests.helpers.small_warehouse import ANY_RETURN, HEADLINE, HOSPITALS, Cell

pytestmark = pytest.mark.integration

OWN, FOREIGN, FOREIGN_NAME = "harbour", "eastgate", "\u6771\u4eac\u75c5\u9662"
SUSPICIOUS = 'St <b>Bo</b> & #Sons $x$ *y* @me "q" {{ 7*7 }} \\ [1] `z`'


def by_hand() -> list[Cell]:
    """One hospital; the fourth quarter is 5 of 900 index visits and 1,200 ED visits."""
    months = {
        (2023, 11): (4, 100, 200),
        (2023, 12): (1, 100, 200),
        (2024, 7): (10, 300, 500),
        (2024, 8): (10, 300, 500),
        (2024, 9): (10, 300, 500),
        (2024, 10): (3, 300, 400),
        (2024, 11): (0, 310, 410),
        (2024, 12): (2, 290, 390),
        # After the quarter: it must move nothing.
        (2025, 1): (90, 95, 100),
    }
    headline = [
        Cell(OWN, dt.date(year, month, 1), HEADLINE, *counts)
        for (year, month), counts in months.items()
    ]
    other = [Cell(OWN, dt.date(2024, 12, 1), ANY_RETURN, 7, 290, 390)]
    return [*headline, *other, Cell(FOREIGN, dt.date(2024, 12, 1), HEADLINE, 1, 50, 100)]


@pytest.fixture(scope="module")
def worked_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The hospital by hand, of whose visits five are not followed. Not to be changed."""
    return published_home(
        tmp_path_factory.mktemp("worked"),
        cells=by_hand(),
        hospitals=(OWN, FOREIGN, "lakeside"),
        changes=[
            "update marts.rpt_ed_visit_mix_monthly set visits_count = visits_count + 5 "
            "where dimension_code = 'acuity' and month_on = '2024-12-01'",
            "insert into marts.rpt_ed_visit_mix_monthly (hospital_key, dimension_code, "
            "value_code, value_name, visits_count, month_on) "
            f"select '{OWN}', 'attendance', * from (values "
            "('look_back_short', 'short', 400, date '2024-10-01'), "
            "('01', 'first', 405, date '2024-11-01'), ('04_to_09', 'fourth', 4, '2024-11-01'), "
            "('10_or_later', 'tenth', 1, '2024-11-01'), ('01', 'first', 395, '2024-12-01'))",
            f"update core.dim_hospitals set hospital_name = '{SUSPICIOUS}' "
            f"where hospital_key = '{OWN}'",
            f"update core.dim_hospitals set hospital_name = '{FOREIGN_NAME}' "
            f"where hospital_key = '{FOREIGN}'",
            "create or replace table published.dim_hospitals as from core.dim_hospitals",
        ],
    )


@pytest.fixture(scope="module")
def worked(worked_settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> tuple[Read, str]:
    """HTML and text of the PDF of its report."""
    out = tmp_path_factory.mktemp("worked_reports")
    with opened_batch(worked_settings, QUARTER, out) as batch:
        page, pdf = read(batch.write(OWN))
    return Read(page), words_of(pdf)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Eight hospitals with drawn counts; reports may be written, nothing else."""
    return published_home(tmp_path_factory.mktemp("report"))


def test_the_headline_is_as_worked_by_hand(worked: tuple[Read, str]) -> None:
    page, pdf = worked
    caption = "own counts, whole"
    rows = {
        "Returns": ["5", "30", "5"],
        "ED visits": ["1,200", "1,500", "400"],
        "Returns per 100 ED visits": ["0.42 %", "2.00 %", "1.25 %"],
        "95 % interval (ED visits)": ["0.18 to 0.97 %", "1.40 to 2.84 %", "0.54 to 2.89 %"],
        "Index visits": ["900", "900", "200"],
        "Returns per 100 index visits": ["0.56 %", "3.33 %", "2.50 %"],
    }
    head = "Return within 72 h with admission: own"
    assert {name: page.row(head, name) for name in rows} == rows
    assert page.row(head, "95 % interval (index visits)")[0] == "0.24 to 1.29 %"
    assert page.row(head, "") == ["2024-Q4", "2024-Q3", "2023-Q4 (2 of 3 months)"]
    lead = "Return within 72 h with admission: 5 of 1,200 ED visits, 0.42 %."
    assert lead in page.text
    assert lead in pdf
    assert caption in pdf


def test_months_after_the_quarter_move_no_limit(worked: tuple[Read, str]) -> None:
    page, _ = worked
    # Mean of 2, 0.5, 2, 2, 2, 0.75, 0 and 0.513 %; mean moving range 0.788 %.
    assert (
        "8 months to the end of the quarter. Mean 1.22 % (solid grey), usual variation 0.00 % to "
        "3.32 % (dashed). Fewer than 12 months: trial limits. No special cause."
    ) in page.text
    assert page.row("Own returns by month", "Dec 2024")[:3] == ["2", "390", "0.51 %"]
    assert "Jan 2025" not in page.text


def test_companions_are_sums_and_no_median_is_made_up(worked: tuple[Read, str]) -> None:
    page, _ = worked
    caption = "Companion measures"
    assert page.row(caption, "ED visits") == ["400", "410", "395", "1,205", "1,500"]
    # One in eight of each month, rounded down: 50, 51, 48 and 62 in each month before.
    admitted = page.row(caption, "Admitted")
    assert admitted[3:] == ["149 (12.4 %)", "186 (12.4 %)"]
    # At hour h an eighth of the visits and h, of 30 readings: (24 x 149 + 3 x 276) / 2160, and the
    # most is a hundredth of the visits and 23.
    assert page.row(caption, "Patients in the ED: mean (most)")[3] == "2.0 (27)"
    # Four persons' fourth visits and one's tenth in November; the look-back is short before.
    frequent = page.row(caption, "Person's fourth visit or later in 365 days")
    assert frequent == [NONE, "5 (1.2 %)", "0 (0.0 %)", NONE, NONE]
    assert page.row(caption, "Length of stay, minutes") == [*["200 (600)"] * 3, NONE, NONE]


def test_what_is_not_followed_and_what_is_missing_is_said(worked: tuple[Read, str]) -> None:
    page, pdf = worked
    assert "5 visits not followed for 72 hours to the end of the data, and left out" in page.text
    assert page.row("Other measures", "Any return within 72 h †")[:3] == [
        "7",
        "390 ED visits",
        "1.79 %",
    ]
    assert page.row("Other measures", "Sentinel return within 7 days") == [NONE] * 5
    assert "fewer than 3 hospitals can be shown without small counts" in pdf
    assert "Synthetic data" in pdf


def test_a_name_is_text_in_both(worked: tuple[Read, str]) -> None:
    page, pdf = worked
    assert SUSPICIOUS in page.text
    assert SUSPICIOUS in pdf


def test_a_name_that_the_fonts_lack_stops_no_report(
    worked_settings: Settings, tmp_path: Path
) -> None:
    with opened_batch(worked_settings, QUARTER, tmp_path) as batch:
        page, pdf = read(batch.write(FOREIGN))
    assert FOREIGN_NAME in Read(page).text
    assert "1 of 100 ED visits, 1.00 %" in words_of(pdf)


@pytest.mark.parametrize("hospital", ["harbour", "pine_ridge"])
def test_html_and_pdf_say_the_same(settings: Settings, hospital: str) -> None:
    page_bytes, pdf_bytes = write_report(settings, hospital)
    page, pdf = Read(page_bytes), re.sub(r"\s", "", words_of(pdf_bytes))
    shown = [rows for caption, rows in page.tables.items() if caption not in page.hidden_tables]
    assert len(shown) == 3
    for row in (row for rows in shown for row in rows):
        assert re.sub(r"\s", "", "".join(row)) in pdf
    paragraphs = re.findall(r"<(?:p|dd|figcaption|footer)[^>]*>([^<]+)</", page_bytes.decode())
    assert len(paragraphs) > 12
    for paragraph in paragraphs:
        assert re.sub(r"\s", "", Read(paragraph.encode()).text) in pdf


def test_a_page_needs_no_other_file_and_runs_nothing(settings: Settings) -> None:
    page_bytes, pdf_bytes = write_report(settings, OWN)
    page = page_bytes.decode()
    assert "<script" not in page
    links = {link for link in re.findall(r"https?://[^\"' >]+", page)}
    assert links == {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert set(re.findall(r"url\(([^)]*)\)", page)) <= {
        f"#{name}" for name in re.findall(r'id="([^"]*)"', page)
    }
    names = re.findall(r'id="([^"]*)"', page)
    assert len(names) == len(set(names))
    assert page.count('role="img"') == page.count("<svg") == page.count("<details") == 2
    reader = PdfReader(BytesIO(pdf_bytes))
    assert len(reader.pages) == 1
    assert set(reader.metadata or {}) == {"/Title", "/Creator"}
    assert reader.trailer["/Root"]["/MarkInfo"]["/Marked"]


def test_the_same_snapshot_gives_the_same_bytes(settings: Settings) -> None:
    first = {key: write_report(settings, key) for key in ("harbour", "lakeside")}
    again = {key: write_report(settings, key) for key in ("lakeside", "harbour")}
    assert first == again


def test_another_publication_of_a_snapshot_gives_the_same_bytes(
    worked_settings: Settings, tmp_path: Path
) -> None:
    settings = copied(worked_settings, tmp_path / "home")
    first = write_report(settings, OWN)
    publish(settings)
    assert write_report(settings, OWN) == first


def test_the_demos_report_is_what_its_files_count(demo_settings: Settings, tmp_path: Path) -> None:
    """Everything is counted again, in polars, from the tables of the published files."""
    with opened_batch(demo_settings, "2026-Q1", tmp_path) as batch:
        hospital = next(iter(batch.hospitals))
        page_bytes, pdf = read(batch.write(hospital))
    page = Read(page_bytes)
    # Every measure there is, and the audit's findings: still one page.
    assert len(PdfReader(BytesIO(pdf)).pages) == 1
    file = demo_settings.operational / hospital / "current.duckdb"
    months = [dt.date(2026, month, 1) for month in (1, 2, 3)]
    with duckdb.connect(str(file), read_only=True) as con:
        counts = con.sql("from own.rpt_ed_returns_monthly").pl()
        mix = con.sql("from own.rpt_ed_visit_mix_monthly").pl()
        measures = con.sql("from measures").pl()
        times = con.sql("from own.rpt_ed_intervals_monthly").pl()
        census = con.sql("from own.rpt_ed_census_monthly").pl()
        cases = con.sql("from own.rpt_ed_review_worklist").pl()
    sums = pl.col("numerator_count", "index_visits_count", "all_visits_count").sum()
    in_quarter = counts.filter(pl.col("month_on").is_in(months))
    quarter = in_quarter.group_by("measure_code").agg(sums)
    checked = 0
    for measure in measures.iter_rows(named=True):
        (row,) = quarter.filter(measure_code=measure["measure_code"]).iter_rows(named=True)
        if measure["is_headline"]:
            caption = f"{measure['measure_name']}: own counts"
            assert page.row(caption, "Returns")[0] == f"{row['numerator_count']:,}"
            assert page.row(caption, "ED visits")[0] == f"{row['all_visits_count']:,}"
            assert page.row(caption, "Index visits")[0] == f"{row['index_visits_count']:,}"
        else:
            whole = row[f"{measure['denominator_code']}_count"]
            found = page.row("Other measures", measure["measure_name"])
            assert found[0] == f"{row['numerator_count']:,}"
            assert found[1].split()[0] == f"{whole:,}"
            assert found[2] == f"{100 * row['numerator_count'] / whole:.2f} %"
        checked += 1
    assert checked == len(measures) > 10
    of_quarter = mix.filter(pl.col("month_on").is_in(months))
    visits = of_quarter.filter(dimension_code="disposition")["visits_count"].sum()
    lwbs = of_quarter.filter(dimension_code="disposition", value_code="lwbs")["visits_count"].sum()
    assert page.row("Companion", "ED visits")[3] == f"{visits:,}"
    assert page.row("Companion", "Left without being seen")[3].split()[0] == f"{lwbs:,}"
    frequent = of_quarter.filter(dimension_code="attendance").filter(
        pl.col("value_code").is_in(["04_to_09", "10_or_later"])
    )["visits_count"]
    of_persons = page.row("Companion", "Person's fourth visit or later in 365 days")
    assert of_persons[3].split()[0] == f"{frequent.sum():,}"
    in_march = census.filter(month_on=months[2])
    mean = in_march["patients_count"].sum() / in_march["readings_count"].sum()
    most = in_march["most_patients_count"].max()
    assert page.row("Companion", "Patients in the ED: mean (most)")[2] == f"{mean:.1f} ({most})"
    (boarding,) = times.filter(
        interval_code="boarding", disposition_code="all", month_on=months[2]
    ).iter_rows(named=True)
    minutes = f"{boarding['median_minutes']} ({boarding['p90_minutes']})"
    assert page.row("Companion", "Boarding of the admitted, minutes")[2] == minutes
    listed = len(cases.filter(quarter_on=months[0]))
    assert f"{listed} cases listed" in page.text


def test_peers_are_those_of_the_networks_file(settings: Settings) -> None:
    page = Read(write_report(settings, OWN)[0])
    with duckdb.connect(str(settings.published / "current.duckdb"), read_only=True) as con:
        shown = con.sql(
            "select hospital_key, hospital_name, numerator_count, all_visits_count "
            "from rpt_ed_returns_half_yearly join dim_hospitals using (hospital_key) where "
            f"measure_code = '{HEADLINE}' and period_on = '2024-07-01' "
            "and numerator_count is not null"
        ).fetchall()
    assert 3 <= len(shown) < len(HOSPITALS)
    pooled = 100 * sum(row[2] for row in shown) / sum(row[3] for row in shown)
    assert f"Pooled rate of the hospitals shown: {pooled:.2f} %." in page.text
    others = {name: [f"{n:,}", f"{d:,}"] for key, name, n, d in shown if key != OWN}
    (peers,) = (rows for words, rows in page.tables.items() if "that are shown" in words)
    listed = {row[0]: row[1:3] for row in peers[1:] if "(own)" not in row[0]}
    assert listed == others
    assert len(HOSPITALS) - 1 - len(others) == 1
    assert "Not shown, small or derivable counts: 1 hospital." in page.text


def test_reviews_are_those_that_were_handed_over(worked: tuple[Read, str]) -> None:
    page, pdf = worked
    for text in (re.sub(r"\s", " ", page.text), re.sub(r"\s", " ", pdf)):
        assert "2 cases listed, 0 of them sentinel returns; 4 reviewed, 2 of them by two" in text
        assert "quality issue in 1 of 4 reviewed cases (25.00 %)." in text
        assert "Care of older patients 1; Handover and communication 1." in text
        assert "Crowding" not in text
        assert "cases first reviewed in July to December 2024: an adverse event or quality" in text
        assert "issue in 96 of 240 reviewed cases (40.00 %); underlying causes: Care of" in text
        assert "Handover and communication 56." in text
        assert "Not shown, small or derivable counts: 1 cause." in text


def test_a_half_year_that_is_hidden_or_not_there_is_said_to_be_so() -> None:
    on = dt.date(2025, 1, 1)
    said = {
        None: "Of the network's reviews no half-year is closed yet.",
        NetworkFindings(on, None, None, ()): "2025: not shown, small or derivable counts.",
        NetworkFindings(on, 1200, None, ()): "1,200 reviewed cases; how many had an issue is small",
        NetworkFindings(on, 1200, 0, ()): "in 0 of 1,200 reviewed cases (0.00\N{NO-BREAK SPACE}%).",
    }
    for network, words in said.items():
        assert words in audit_words(AuditFigures(0, 0, 0, 0, 0, (), network))[-1]


def test_without_a_case_the_page_says_so(worked_settings: Settings, tmp_path: Path) -> None:
    settings = copied(worked_settings, tmp_path / "home")
    text = Read(write_report(settings, OWN, quarter="2024-Q3")[0]).text
    assert "No case of this quarter is listed for review." in text


@pytest.mark.parametrize(
    ("quarter", "hospital", "words"),
    [
        ("2024-Q5", OWN, "'2024-Q5' is no quarter: write it as 2026-Q1."),
        ("0000-Q1", OWN, "is no quarter"),
        ("2024-4", OWN, "is no quarter"),
        ("2025-Q1", OWN, "2025-Q1 is not closed: the data are complete to 5 February 2025"),
        ("2019-Q1", OWN, "There are no ED visits of 2019-Q1: the data run from 2023-Q3"),
        ("2031-Q1", OWN, "There are no ED visits of 2031-Q1"),
        (QUARTER, "elsewhere", "There is no hospital 'elsewhere'"),
        (QUARTER, "../published", "There is no hospital '../published'"),
        (QUARTER, "", "There is no hospital ''"),
    ],
)
def test_what_cannot_be_reported_is_refused_in_a_sentence(
    settings: Settings, quarter: str, hospital: str, words: str
) -> None:
    done = run(settings, "--quarter", quarter, "--hospital", hospital)
    assert done.exit_code == 1
    assert done.output.startswith("error: ")
    assert words in done.output
    assert done.output.count("\n") == 1


def test_a_hospital_without_visits_is_refused(worked_settings: Settings, tmp_path: Path) -> None:
    with (
        pytest.raises(ReportError, match="lakeside has no ED visits in 2024-Q4"),
        opened_batch(worked_settings, QUARTER, tmp_path) as batch,
    ):
        batch.write("lakeside")


def test_nothing_published_is_refused(settings: Settings, tmp_path: Path) -> None:
    empty = Settings(home=tmp_path, is_synthetic=True)
    with (
        pytest.raises(ReportError, match="Nothing has been published"),
        opened_batch(empty, QUARTER),
    ):
        pass
    empty.published.mkdir()
    (empty.published / "current.duckdb").write_bytes(b"no database")
    with pytest.raises(ReportError, match="cannot be read"), opened_batch(empty, QUARTER):
        pass


def test_all_hospitals_in_one_call(settings: Settings, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run(settings, "--quarter", QUARTER, "--out", str(out))
    assert done.exit_code == 0, done.output
    assert f"Reports of {len(HOSPITALS)} hospitals in {out}" in done.output
    assert {path.name for path in out.iterdir()} == {key for key, *_ in HOSPITALS}
    files = [path for path in out.rglob("*") if path.is_file()]
    assert len(files) == 2 * len(HOSPITALS)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    folders = [out, *(path for path in out.rglob("*") if path.is_dir())]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert (out / OWN / QUARTER / f"{OWN}_{QUARTER}.pdf").is_file()
    # One of a batch is the same as one alone.
    assert read(out / OWN / QUARTER) == write_report(settings, OWN)


def test_one_that_fails_does_not_leave_the_others_without(
    settings: Settings, tmp_path: Path
) -> None:
    settings = copied(settings, tmp_path / "home")
    shutil.rmtree(settings.reports, ignore_errors=True)
    broken = (settings.operational / "eastgate" / "current.duckdb").resolve()
    broken.write_bytes(b"no database")
    swapped = (settings.operational / "willow_creek" / "current.duckdb").resolve()
    swapped.write_bytes((settings.operational / OWN / "current.duckdb").read_bytes())
    done = run(settings, "--quarter", QUARTER)
    assert done.exit_code == 1
    assert "Reports of 6 hospitals" in done.output
    assert "2 of 8 hospitals have no new report" in done.output
    assert f"eastgate: {broken} cannot be read" in done.output
    assert f"willow_creek: {swapped} is not the file of hospital willow_creek" in done.output
    assert not (settings.reports / "eastgate").exists()
    assert (settings.reports / "st_brigid" / QUARTER).is_dir()


def test_a_publication_in_between_is_not_mixed_in(
    worked_settings: Settings, tmp_path: Path
) -> None:
    settings = copied(worked_settings, tmp_path / "home")
    before = write_report(settings, OWN)
    with opened_batch(settings, QUARTER) as batch:
        more = [Cell(**{**vars(cell), "numerator": cell.numerator + 3}) for cell in by_hand()]
        published_home(settings.home, cells=more, hospitals=(OWN,))
        assert read(batch.write(OWN)) == before
    assert write_report(settings, OWN) != before


@pytest.mark.parametrize("is_first", [True, False])
def test_both_files_or_neither(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    with opened_batch(settings, QUARTER, tmp_path) as batch:
        before = None if is_first else read(batch.write(OWN))
        monkeypatch.setattr(write, "_write", failing_at(2, write._write))
        with pytest.raises(OSError, match="No space"):
            batch.write(OWN)
    folder = tmp_path / OWN
    assert [path.name for path in folder.iterdir()] == ([] if is_first else [QUARTER])
    assert is_first or read(folder / QUARTER) == before


def failing_at(
    number: int, function: Callable[[Path, bytes], None]
) -> Callable[[Path, bytes], None]:
    """Return a function that fails when it is called for the n-th time, half-way."""
    calls = []

    def failing(path: Path, content: bytes) -> None:
        calls.append(path)
        if len(calls) == number:
            path.write_bytes(content[:100])
            raise OSError(28, "No space left on device", str(path))
        function(path, content)

    return failing


def test_two_runs_do_not_write_the_same_directory(settings: Settings, tmp_path: Path) -> None:
    with opened_batch(settings, QUARTER, tmp_path):
        again = pytest.raises(ReportError, match="wait for that run")
        with again, opened_batch(settings, QUARTER, tmp_path):
            pass


@pytest.mark.parametrize(
    ("text", "before", "year_before", "ends_before"),
    [
        ("2026-Q1", "2025-Q4", "2025-Q1", dt.date(2026, 4, 1)),
        ("2025-Q4", "2025-Q3", "2024-Q4", dt.date(2026, 1, 1)),
        ("2024-Q2", "2024-Q1", "2023-Q2", dt.date(2024, 7, 1)),
    ],
)
def test_quarters(text: str, before: str, year_before: str, ends_before: dt.date) -> None:
    quarter = read_quarter(text)
    assert (str(quarter.before), str(quarter.year_before)) == (before, year_before)
    assert quarter.ends_before == ends_before
    assert [month.month for month in quarter.months] == [
        3 * int(text[-1]) - 2 + step for step in range(3)
    ]


def run(settings: Settings, *arguments: str):  # type: ignore[no-untyped-def]
    return CliRunner().invoke(main, ["report", "--home", str(settings.home), *arguments])

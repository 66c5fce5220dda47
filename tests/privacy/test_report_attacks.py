"""A reader of one hospital's report who wants to know something of another, or of a patient."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from chart_audit.codes import questions
from chart_audit.store import Case, Review, opened_store
from governance.errors import ReportError
from governance.settings import Settings
from ops.reports.write import opened_batch
from tests.helpers.reported import (
    QUARTER,
    Read,
    copied,
    published_home,
    read,
    streams_of,
    words_of,
    write,
)
from tests.helpers.small_warehouse import ANY_RETURN, HEADLINE, Cell, ed_return_cells

pytestmark = pytest.mark.integration

HOSPITALS = ("harbour", "lakeside", "eastgate", "north_general", "pine_ridge")
READER, HIDDEN, HIDDEN_NAME = "harbour", "pine_ridge", "Pine Ridge Health Centre"


def with_hidden(numerator: int, *, others: int = 0) -> list[Cell]:
    """Drawn counts, in which one small hospital has this many returns a month, which are hidden.

    Args:
        numerator: its returns a month, 1 to 3: at most 20 a half-year.
        others: how many more index visits it has a month.
    """
    return [
        replace(
            cell,
            numerator={HEADLINE: numerator, ANY_RETURN: 4}.get(cell.measure_code, 0),
            index_visits=40 + others,
            all_visits=80 + others,
        )
        if cell.hospital_key == HIDDEN
        else cell
        for cell in ed_return_cells()
    ]


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Five hospitals that do not call themselves made up, one hidden. Not to be changed."""
    return published_home(
        tmp_path_factory.mktemp("attacked"),
        cells=with_hidden(2),
        hospitals=HOSPITALS,
        changes=["update published.rpt_snapshot set is_synthetic = false"],
    )


def test_a_report_does_not_change_with_a_hidden_count(tmp_path: Path) -> None:
    """Whatever could be read out of words, drawings or metadata: it is the same for both counts."""
    reports, own = [], []
    for place, numerator in (("one", 1), ("three", 3)):
        settings = published_home(
            tmp_path / place, cells=with_hidden(numerator), hospitals=HOSPITALS
        )
        with duckdb.connect(str(settings.published / "current.duckdb"), read_only=True) as con:
            shown = con.execute(
                "select count(numerator_count) from rpt_ed_returns_half_yearly "
                "where hospital_key = $1 and measure_code = $2",
                [HIDDEN, HEADLINE],
            ).fetchall()
        assert shown == [(0,)]
        with opened_batch(settings, QUARTER) as batch:
            reports.append({key: read(batch.write(key)) for key in HOSPITALS})
        own.append(Read(reports[-1][HIDDEN][0]).row("with admission: own counts", "Returns")[0])
    # What is hidden is there: its own report tells it.
    assert own == ["3", "9"]
    before, after = reports
    assert {key for key in before if before[key] != after[key]} == {HIDDEN}
    page, pdf = before[READER]
    assert HIDDEN_NAME not in Read(page).text
    assert HIDDEN_NAME not in words_of(pdf)
    assert HIDDEN.encode() not in page + streams_of(pdf)


def test_no_more_points_are_drawn_than_are_shown(settings: Settings) -> None:
    page = write(settings, READER)[0].decode()
    with duckdb.connect(str(settings.published / "current.duckdb"), read_only=True) as con:
        others = con.execute(
            "select count(*) from rpt_ed_returns_funnel where measure_code = $1 and "
            "denominator_code = 'all_visits' and period_on = '2024-07-01' and hospital_key <> $2",
            [HEADLINE, READER],
        ).fetchall()[0][0]
    funnel = page[page.index("Funnel plot") :]
    marks = re.findall(r'class="mark-symbol role-mark[^"]*"[^>]*>(.*?)</g>', funnel)
    assert sum(group.count("<path") for group in marks) == others + 1


def test_no_token_reviewer_or_comment_is_in_a_report(settings: Settings) -> None:
    token, reviewer, comment = f"{READER}-1", "quillfeather.z", "Zaphira fell ill"
    answers = {code: frozenset({next(iter(q.answers))}) for code, q in questions().items()}
    answers["quality_issue"] = frozenset({"yes"})
    with opened_store(settings, READER) as store:
        store.open_case(Case(token, f"{READER}-r1", "sample", "2024-10-01"), reviewer)
        store.submit(Review(token, "first", reviewer, answers=answers, comment=comment))
    with opened_batch(settings, QUARTER) as batch:
        folder = batch.write(READER)
    page, pdf = read(folder)
    everything = page + pdf + streams_of(pdf) + str(folder).encode()
    assert b"4 reviewed" in page
    assert b"Synthetic" not in page
    # What is looked for would be found: the hospital's name is, in both.
    assert b"Harbour Community Hospital" in page
    assert b"Harbour Community Hospital" in streams_of(pdf)
    for secret in (token, f"{READER}-r1", reviewer, comment, "Zaphira"):
        assert secret.encode() not in everything
    assert str(settings.home).encode() not in page + streams_of(pdf)
    # Nor when it was made.
    assert f"{dt.datetime.now(dt.UTC):%Y-%m-%d}".encode() not in page + streams_of(pdf)
    assert f"D:{dt.datetime.now(dt.UTC):%Y}".encode() not in pdf


def test_another_hospitals_file_in_its_place_is_refused(settings: Settings, tmp_path: Path) -> None:
    """A link or a copy would write a hospital's whole figures under another's name."""
    settings = copied(settings, tmp_path / "home")
    own = (settings.operational / READER / "current.duckdb").resolve()
    own.unlink()
    own.symlink_to((settings.operational / HIDDEN / "current.duckdb").resolve())
    with (
        pytest.raises(ReportError, match="is not the file of hospital harbour"),
        opened_batch(settings, QUARTER, tmp_path / "out") as batch,
    ):
        batch.write(READER)
    assert not list((tmp_path / "out").iterdir())


def test_a_report_is_not_written_through_a_link(settings: Settings, tmp_path: Path) -> None:
    elsewhere, out = tmp_path / "elsewhere", tmp_path / "out"
    elsewhere.mkdir()
    out.mkdir()
    (out / READER).symlink_to(elsewhere)
    with (
        pytest.raises(ReportError, match="is a link"),
        opened_batch(settings, QUARTER, out) as batch,
    ):
        batch.write(READER)
    assert not list(elsewhere.iterdir())

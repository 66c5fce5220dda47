"""A release is written whole, through an open gate, or not at all; its files say nothing else."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ops.release.gate
import ops.release.write
from governance.audit.verify import verify_logs
from governance.errors import PublicationError
from governance.settings import PROJECT_ROOT, Settings
from ops.release.attacks import Attacked
from ops.release.gate import OpenGate
from ops.release.linkage import Linkage
from ops.release.noisy_match import Match
from ops.release.profiles import Profile
from ops.release.write import write_release
from tests.helpers.small_research import PERSONS, write_project

pytestmark = pytest.mark.integration

TABLES = ("release_patients", "release_ed_visits", "release_diagnoses")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    home = tmp_path_factory.mktemp("home")
    (home / "restricted").mkdir()
    return Settings(home=home, is_synthetic=True)


@pytest.fixture(scope="module")
def gate(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> OpenGate:
    """The open gate of one real build, and a release `open` written from it."""
    project = write_project(tmp_path_factory.mktemp("project"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops.release.gate, "PROJECT_ROOT", project)
        _take_all(patch)
        seen: list[OpenGate] = []

        def remember(*arguments: Any) -> OpenGate:
            gate = ops.release.gate.open_gate(*arguments)
            # The build's own database goes with the work directory.
            kept = settings.home / "kept" / "warehouse.duckdb"
            kept.parent.mkdir()
            shutil.copy(gate.database, kept)
            seen.append(dataclasses.replace(gate, database=kept))
            return gate

        patch.setattr(ops.release.write, "open_gate", remember)
        write_release(settings, "open", recipient="first")
    settings.home.joinpath("project").symlink_to(project)
    return seen[0]


def _take_all(patch: pytest.MonkeyPatch) -> None:
    """The project's tables are made up, without a snapshot; everybody is in the sample."""

    def everybody(settings: Settings, profile: Profile, persons: list[str]) -> pa.Table:
        shifts = pa.array([0] * len(persons), pa.int32())
        return pa.table({"person_key": persons, "shift_days": shifts})

    patch.setattr(ops.release.gate, "current_snapshot", lambda _: "none")
    patch.setattr(
        ops.release.gate, "known_persons", lambda *_: [f"person-{i}" for i in range(PERSONS)]
    )
    patch.setattr(ops.release.gate, "draw_sample", everybody)


@pytest.fixture
def opened(gate: OpenGate, monkeypatch: pytest.MonkeyPatch) -> OpenGate:
    monkeypatch.setattr(ops.release.write, "open_gate", lambda *arguments: gate)
    return gate


def _digests(directory: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in directory.iterdir()}


def _built(gate: OpenGate, sql: str) -> pl.DataFrame:
    with duckdb.connect(str(gate.database), read_only=True) as connection:
        return pl.DataFrame(connection.sql(sql).to_arrow_table())


def test_the_files_are_those_of_the_manifest(settings: Settings, gate: OpenGate) -> None:
    directory = settings.release / "open"
    manifest = json.loads((directory / "manifest.json").read_text())
    listed = {entry["file"]: entry for entry in manifest["files"]}
    assert set(listed) == {
        "README.md",
        "TERMS.md",
        "data_dictionary.csv",
        "release.duckdb",
        "risk_report.html",
        *(f"{table}.parquet" for table in TABLES),
    }
    found = _digests(directory)
    assert set(found) == {*listed, "manifest.json"}
    for name, entry in listed.items():
        assert found[name] == entry["sha256"]
    patients = pl.read_parquet(directory / "release_patients.parquet")
    assert listed["release_patients.parquet"]["rows"] == len(patients)


def test_small_classes_are_left_out(settings: Settings, gate: OpenGate) -> None:
    """Of 900 persons the man of 97 and the ten women of 95 are in classes of 1 and 10. The one with
    a diagnosis of her own is alone among those whose diagnoses are not shown."""
    patients = pl.read_parquet(settings.release / "open" / "release_patients.parquet")
    assert len(patients) == PERSONS - 12
    assert "90+" not in patients["age_band"].to_list()
    # The profile shows no area.
    assert "zip3" not in patients.columns
    assert set(patients["visit_year"]) == {2023}


def test_histories_are_cut_and_rare_diagnoses_are_absent(
    settings: Settings, gate: OpenGate
) -> None:
    directory = settings.release / "open"
    visits = pl.read_parquet(directory / "release_ed_visits.parquet")
    assert visits.group_by("person_key").len()["len"].max() == 3
    assert set(visits.filter(pl.col("visit_number") > 1)["interval_band"]) == {"4-30"}
    patients = pl.read_parquet(directory / "release_patients.parquet")
    # Those born in 1980, every third but the 11 of above, came five times.
    assert patients["censoring_code"].value_counts().rows_by_key("censoring_code") == {
        "cut": [(296,)],
        "year_end": [(PERSONS - 12 - 296,)],
    }
    diagnoses = pl.read_parquet(directory / "release_diagnoses.parquet")
    assert set(diagnoses["group_code"]) == {"END002", "CIR1"}


def test_what_attackers_are_left_with_is_known(gate: OpenGate) -> None:
    risks = _built(gate, "select * from research.release_risks where stage_code = 'after'")
    assert len(risks) == 7
    sizes = dict(zip(risks["attacker_code"], risks["smallest_class_size"], strict=True))
    assert min(sizes.values()) >= 3
    assert min(size for code, size in sizes.items() if code != "other_release") >= 20
    losses = _built(gate, "select * from research.release_losses order by rule_number")
    assert losses["rule_code"].to_list() == [
        "person_sample",
        "first_stays",
        "first_diagnoses",
        "small_classes",
    ]
    # 300 persons came five times, of whom three stays stay; 12 persons are left out.
    assert losses["stays_before"].to_list() == [2100, 2100, 1500, 1500]
    assert losses["persons_after"].to_list() == [900, 900, 900, 888]


def test_no_key_of_the_warehouse_is_in_the_files(settings: Settings, gate: OpenGate) -> None:
    directory = settings.release / "open"
    known = _built(
        gate,
        "select person_key as k from research.release_patients"
        " union all select visit_key from research.release_ed_visits",
    )["k"].to_list()
    assert len(known) > PERSONS
    for path in directory.glob("*.parquet"):
        table = pl.read_parquet(path)
        values = {str(v) for column in table.columns for v in table[column].unique()}
        assert not values & set(known)
        for name in [name for name in table.columns if name.endswith("_key")]:
            assert table[name].dtype == pl.Int64
    everything = b"".join(path.read_bytes() for path in directory.iterdir())
    for trace in (b"person-", b"visit-", str(settings.home).encode(), gate.build_id.encode()):
        assert trace not in everything


def test_keys_still_join_what_belongs_together(settings: Settings, gate: OpenGate) -> None:
    """The multiset of (attributes, visits, diagnoses) is the warehouse's, whatever the ids are."""
    sql = """
        select p.sex_code, p.age_band, v.visit_number, v.disposition_code, d.group_code,
            count(*) as rows_count
        from {0}release_patients{1} as p
        join {0}release_ed_visits{1} as v using (person_key)
        left join {0}release_diagnoses{1} as d
            on d.visit_key = v.visit_key and d.person_key = p.person_key
        group by all order by all
    """
    files = duckdb.sql(sql.format(f"'{settings.release}/open/", ".parquet'"))
    here = pl.DataFrame(files.to_arrow_table())
    assert here.equals(_built(gate, sql.format("research.", "")))
    assert len(here) > 10


def test_the_files_say_nothing_beside_their_rows(settings: Settings, gate: OpenGate) -> None:
    for path in (settings.release / "open").glob("*.parquet"):
        metadata = pq.read_metadata(path)
        assert metadata.metadata is None
        assert re.fullmatch(r"parquet-cpp-arrow version [0-9.]+", metadata.created_by)
        column = metadata.row_group(0).column(0)
        assert column.statistics is None
        assert column.compression == "ZSTD"


def test_rows_do_not_stand_in_the_warehouse_s_order(settings: Settings, gate: OpenGate) -> None:
    keys = pl.read_parquet(settings.release / "open" / "release_patients.parquet")["person_key"]
    assert keys.is_sorted()
    assert keys.n_unique() == len(keys)
    # Drawn over the whole range: a counter, or a hash cut short, would not reach the upper half.
    assert keys.max() > 2**62 > keys.min() >= 0  # type: ignore[operator]


def test_the_researcher_s_lines_run(settings: Settings, gate: OpenGate) -> None:
    directory = settings.release / "open"
    text = (directory / "README.md").read_text()
    assert "These data are synthetic" in text
    sql = re.search(r"```sql\nshow tables;\n(.*?)```", text, re.DOTALL)
    assert sql is not None
    with duckdb.connect(str(directory / "release.duckdb"), read_only=True) as connection:
        connection.execute(f"set file_search_path = '{directory}'")
        rows = connection.execute(sql.group(1)).fetchall()
    # Every third of 900 was born in 1980, but 21, 24, 27 and 30 are of 1928; three visits each.
    assert ("30-44", 300 - 4, 3 * (300 - 4)) in rows
    page = (directory / "risk_report.html").read_text()
    assert page.count("<svg") == 3
    assert "<td>2,100 → 1,500</td>" in page


def test_who_has_it_is_given_nothing_it_could_be_joined_to(
    settings: Settings, opened: OpenGate
) -> None:
    listed = sorted(settings.release.iterdir())
    for recipient in ("first", "everybody"):
        with pytest.raises(PublicationError, match="could be joined by their contents"):
            write_release(settings, "more", recipient=recipient)
    assert sorted(settings.release.iterdir()) == listed
    with pytest.raises(PublicationError, match="named by a code"):
        write_release(settings, "more", recipient="Dr. Who")
    with pytest.raises(PublicationError, match="for one recipient under an agreement"):
        write_release(settings, "more", profile="limited", agreement="DUA-2026-0017")


def test_a_second_release_has_other_ids(settings: Settings, opened: OpenGate) -> None:
    write_release(settings, "again", recipient="again")
    first, second = (
        set(pl.read_parquet(settings.release / name / "release_patients.parquet")["person_key"])
        for name in ("open", "again")
    )
    assert len(first) == len(second)
    assert not first & second


def test_a_release_is_in_the_audit_log_without_its_name(
    settings: Settings, opened: OpenGate
) -> None:
    write_release(settings, "logged", recipient="logged")
    manifest = (settings.release / "logged" / "manifest.json").read_bytes()
    begun, done = verify_logs(settings)[0].entries[-2:]
    assert (begun.event, begun.outcome, begun.parameters) == (
        "release",
        "begun",
        {"profile": "open"},
    )
    assert done.outcome == "done"
    assert done.parameters["tables"] == len(TABLES)
    assert done.parameters["manifest_sha256"] == hashlib.sha256(manifest).hexdigest()


def test_files_that_an_attack_succeeds_on_are_not_shown(
    settings: Settings, opened: OpenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One person in 888 may be linked, or is found: of the profile open nobody must be."""
    listed = sorted(settings.release.iterdir())
    link = Linkage("everything", 888, 800, 5, 1, 9.0)
    for found, refusal in (
        (Attacked((("open", (link,)),), 0, Match(1000, 500, 0, 0, 0.0)), "with an earlier release"),
        (Attacked((), 0, Match(1000, 500, 9, 1, 3.0)), "Somebody who knows most"),
    ):
        monkeypatch.setattr(ops.release.write, "attack", lambda *_, found=found: found)
        with pytest.raises(PublicationError, match=refusal):
            write_release(settings, "weak", recipient="weak")
    assert sorted(settings.release.iterdir()) == listed
    assert "weak" not in (settings.release / ".ledger" / "ledger.json").read_text()


def test_earlier_releases_are_joined_with_a_new_one_whoever_has_them(
    settings: Settings, opened: OpenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`open` went to another recipient; every person of it is in the new one. Once its files are
    not those that were given, the report says that they were not looked at."""
    attack, seen = ops.release.write.attack, []

    def remember(*arguments: Any) -> Attacked:
        seen.append(attack(*arguments))
        return seen[-1]

    monkeypatch.setattr(ops.release.write, "attack", remember)
    write_release(settings, "joined", recipient="joined")
    ways = {one.way: one for one in dict(seen[0].linked)["open"]}
    assert set(ways) == {"everything", "unchanged"}
    assert {(w.persons_count, w.common_count) for w in ways.values()} == {(888, 888)}
    assert all(one.possible_count == 0 for one in ways.values())
    # Every class has 20 at least, and with outcomes 3.
    assert 0 < ways["everything"].guessed_share <= 1 / 3
    # 888 of the 900 are in it: of those looked for 500, and all twelve of the others.
    assert (seen[0].match.targets_count, seen[0].match.released_count) == (512, 500)
    assert seen[0].match.named_count == 0
    page = (settings.release / "joined" / "risk_report.html").read_text()
    assert "earlier release" in page and "Not every" not in page

    manifest = settings.release / "open" / "manifest.json"
    kept = manifest.read_bytes()
    manifest.write_bytes(kept + b" ")
    write_release(settings, "apart", recipient="apart")
    manifest.write_bytes(kept)
    # `joined` is an earlier one by now; `open` is not the one that was given.
    assert len(seen[1].linked) == len(seen[0].linked)
    assert (seen[0].missing_count, seen[1].missing_count) == (0, 1)
    assert "Not every" in (settings.release / "apart" / "risk_report.html").read_text()


def test_a_name_is_not_used_twice(settings: Settings, opened: OpenGate) -> None:
    """A failed run can then never leave an earlier release to be taken for its own."""
    before = _digests(settings.release / "open")
    with pytest.raises(PublicationError, match="choose another name"):
        write_release(settings, "open")
    assert _digests(settings.release / "open") == before


def test_a_closed_gate_writes_nothing(
    settings: Settings, gate: OpenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops.release.gate, "PROJECT_ROOT", settings.home / "project")
    _take_all(monkeypatch)
    listed = sorted(settings.release.iterdir())
    with pytest.raises(PublicationError, match="release_patients_are_k_anonymous"):
        write_release(
            settings, "fresh", recipient="fresh", variables={"release_minimum_class_size": 1}
        )
    assert sorted(settings.release.iterdir()) == listed
    # Nor did the nightly build's warehouse come to be, or change.
    assert not settings.warehouse.exists()


def test_a_failure_half_way_leaves_nothing(
    settings: Settings, opened: OpenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, calls = ops.release.write._write_parquet, []

    def full_disk(*arguments: Any) -> int:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return write(*arguments)

    monkeypatch.setattr(ops.release.write, "_write_parquet", full_disk)
    listed = sorted(settings.release.iterdir())
    with pytest.raises(PublicationError, match="No space left on device"):
        write_release(settings, "fresh", recipient="fresh")
    assert sorted(settings.release.iterdir()) == listed


def test_a_killed_run_shows_nothing_and_the_next_is_clean(
    settings: Settings, opened: OpenGate
) -> None:
    script = f"""
import os, signal, ops.release.write
from pathlib import Path
from governance.settings import Settings
from ops.release.gate import OpenGate
from ops.release.profiles import Profile, read_profile
gate = OpenGate({opened.build_id!r}, {opened.schema!r}, {opened.documentation!r},
                "none", Path({str(opened.database)!r}))
ops.release.write.open_gate = lambda *arguments: gate
write, calls = ops.release.write._write_parquet, []
def killed(*arguments):
    calls.append(1)
    if len(calls) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(*arguments)
ops.release.write._write_parquet = killed
home = Path({str(settings.home)!r})
ops.release.write.write_release(Settings(home=home), "killed", recipient="killed")
"""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT_ROOT)}
    child = subprocess.run([sys.executable, "-c", script], env=environment, check=False)
    assert child.returncode == -signal.SIGKILL
    assert not (settings.release / "killed").exists()
    assert (settings.release / ".killed.tmp").exists()
    # What it built from is for nobody else, and goes with the next run.
    assert (settings.release / ".work").stat().st_mode & 0o077 == 0

    write_release(settings, "killed", recipient="killed")
    assert {p.name for p in (settings.release / "killed").glob("*.parquet")} == {
        f"{table}.parquet" for table in TABLES
    }
    assert not (settings.release / ".killed.tmp").exists()
    assert not (settings.release / ".work").exists()


def test_tables_of_another_build_are_refused(
    settings: Settings, gate: OpenGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = dataclasses.replace(gate, build_id="another build")
    monkeypatch.setattr(ops.release.write, "open_gate", lambda *arguments: other)
    with pytest.raises(PublicationError, match="not those of the build"):
        write_release(settings, "other")
    assert not (settings.release / "other").exists()


@pytest.mark.parametrize("name", ["", "../up", ".hidden", "a/b", "Upper", "a b"])
def test_a_name_that_is_no_name_is_refused(settings: Settings, name: str) -> None:
    with pytest.raises(PublicationError, match="cannot name a release"):
        write_release(settings, name)


@pytest.mark.parametrize(
    ("profile", "agreement", "refusal"),
    [
        ("closed", None, "no release profile 'closed': dbt_project.yml has limited, open"),
        ("limited", None, "under a data use agreement only"),
        ("limited", "Dr Smith's", "named like DUA-2026-0017"),
        ("open", "DUA-2026-0017", "needs no agreement"),
    ],
)
def test_a_profile_that_is_none_is_refused(
    settings: Settings, profile: str, agreement: str | None, refusal: str
) -> None:
    with pytest.raises(PublicationError, match=refusal) as error:
        write_release(settings, "refused", profile=profile, agreement=agreement)
    assert "Smith" not in str(error.value)

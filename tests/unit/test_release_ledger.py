"""No two releases in the same hands hold the same persons under the same columns."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pyarrow as pa
import pytest

from governance.audit.verify import read_logs
from governance.errors import KeyFileError, PublicationError
from governance.settings import Settings
from ops.release.ledger import DIRECTORY, EVERYBODY, KEY, Given, ReleaseLedger, close_release

COLUMNS = ("release_patients.sex_code", "release_ed_visits.acuity_code")
ANNA, BEN, CARA = "a" * 20, "b" * 20, "c" * 20


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(tmp_path)


def given(release: str, recipient: str, columns: tuple[str, ...] = COLUMNS) -> Given:
    digest = (release.encode().hex() * 64)[:64]
    return Given(
        release,
        "open",
        recipient,
        None,
        "20260701T031500Z",
        "2026-07-01T04:00:00+00:00",
        digest,
        columns,
        2,
    )


def persons(*keys: str) -> pa.Array:
    return pa.array(keys, pa.string())


def is_refused(
    settings: Settings, recipient: str, *keys: str, columns: tuple[str, ...] = COLUMNS
) -> bool:
    try:
        ReleaseLedger(settings).check(recipient, columns, persons(*keys))
    except PublicationError as error:
        assert "could be joined by their contents" in str(error)
        return True
    return False


@pytest.mark.parametrize(
    ("first", "second", "keys", "columns", "refused"),
    [
        ("uni-a", "uni-a", (BEN, CARA), COLUMNS, True),
        ("uni-a", "uni-b", (BEN, CARA), COLUMNS, False),
        ("uni-a", "uni-a", (CARA,), COLUMNS, False),
        ("uni-a", "uni-a", (ANNA, BEN), ("release_labs.value_band",), False),
        ("uni-a", "uni-a", (ANNA,), (COLUMNS[1], "release_labs.value_band"), True),
        # Everybody has what everybody was given.
        (EVERYBODY, "uni-a", (BEN,), COLUMNS, True),
        ("uni-a", EVERYBODY, (BEN,), COLUMNS, True),
        (EVERYBODY, EVERYBODY, (CARA,), COLUMNS, False),
    ],
)
def test_what_could_be_joined_is_refused(
    settings: Settings,
    first: str,
    second: str,
    keys: tuple[str, ...],
    columns: tuple[str, ...],
    *,
    refused: bool,
) -> None:
    ReleaseLedger(settings).add(given("one", first), persons(ANNA, BEN))
    assert is_refused(settings, second, *keys, columns=columns) is refused


def test_a_closed_release_no_longer_counts_and_the_log_says_so(settings: Settings) -> None:
    ReleaseLedger(settings).add(given("one", "uni-a"), persons(ANNA, BEN))
    assert close_release(settings, "one", "destroyed").closed_reason == "destroyed"
    assert not is_refused(settings, "uni-a", ANNA)
    (log,) = read_logs(settings)
    assert log.entries[-1].parameters["reason"] == "destroyed"
    with pytest.raises(PublicationError, match="no open release one"):
        close_release(settings, "one", "destroyed")
    ReleaseLedger(settings).add(given("one", "uni-a"), persons(ANNA))
    assert is_refused(settings, "uni-a", ANNA)


def test_what_everybody_has_cannot_come_back(settings: Settings) -> None:
    ReleaseLedger(settings).add(given("one", EVERYBODY), persons(ANNA))
    for reason in ("destroyed", "returned"):
        with pytest.raises(PublicationError, match="nobody can say that all copies"):
            close_release(settings, "one", reason)
    with pytest.raises(PublicationError, match="Only a release of a synthetic network"):
        close_release(settings, "one", "synthetic")
    assert is_refused(settings, "uni-a", ANNA)
    assert close_release(settings, "one", "never_sent").closed_reason == "never_sent"
    assert not is_refused(settings, "uni-a", ANNA)


def test_an_entry_without_files_is_taken_back_and_a_name_is_given_once(settings: Settings) -> None:
    ledger = ReleaseLedger(settings)
    ledger.add(given("one", "uni-a"), persons(ANNA))
    with pytest.raises(PublicationError, match="was given before"):
        ledger.add(given("one", "uni-b"), persons(CARA))
    ledger.remove(given("one", "uni-a"))
    assert ReleaseLedger(settings).entries == []
    assert not is_refused(settings, "uni-a", ANNA)
    assert [path.name for path in (settings.release / DIRECTORY).iterdir()] in (
        [KEY, "ledger.json"],
        ["ledger.json", KEY],
    )


def test_the_ledger_names_nobody_and_is_for_its_account_alone(settings: Settings) -> None:
    before = os.umask(0o022)
    try:
        ReleaseLedger(settings).add(given("one", "uni-a"), persons(ANNA, BEN))
    finally:
        os.umask(before)
    directory = settings.release / DIRECTORY
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    for path in directory.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        for key in (ANNA, BEN):
            assert key.encode() not in path.read_bytes()
            assert bytes.fromhex(key) not in path.read_bytes()


def test_without_its_key_or_its_persons_nothing_is_given(settings: Settings) -> None:
    ReleaseLedger(settings).add(given("one", "uni-a"), persons(ANNA))
    directory = settings.release / DIRECTORY
    (file,) = directory.glob("one.*.parquet")
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(PublicationError, match="cannot say whom one holds"):
        ReleaseLedger(settings).check("uni-a", COLUMNS, persons(CARA))
    file.write_bytes(content)
    (directory / KEY).chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        ReleaseLedger(settings)
    (directory / KEY).unlink()
    with pytest.raises(PublicationError, match="has lost its key"):
        ReleaseLedger(settings)
    (directory / "ledger.json").write_text("[{}]")
    with pytest.raises(PublicationError, match="cannot be read"):
        ReleaseLedger(settings)


@pytest.mark.parametrize("recipient", ["", "Jane Roe", "a" * 65, "-a", "ünïc"])
def test_a_recipient_is_a_code(settings: Settings, recipient: str) -> None:
    with pytest.raises(PublicationError, match="named by a code"):
        ReleaseLedger(settings).check(recipient, COLUMNS, persons(ANNA))

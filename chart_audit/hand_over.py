"""What reviewers have submitted, handed over to the extractor in one file of its own.

The stores hold comments, drafts, names of reviewers and an edit history, and are the dashboards'
account's alone. The extractor is given a copy of what analyses are made of: of each submitted
review its case by token, its stage and its answers by code. The copy is made whole each time, so a
case that was removed is not in the next one, and takes the place of the last one in one step.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chart_audit.database import hospitals
from chart_audit.store import opened_store
from governance.audit.events import about
from governance.audit.log import audited
from governance.errors import ChartAuditError
from governance.files import is_shared, sync
from governance.locks import exclusive
from governance.settings import Settings

SOURCE = "chart_audit"
_TABLES = (
    "create table case_reviews (review_id text primary key, hospital_id text not null, "
    "index_visit_key text not null, quarter_on text not null, reason_code text not null, "
    "stage_code text not null, submitted_at text not null)",
    "create table review_answers (answer_id text primary key, review_id text not null, "
    "field_code text not null, code text not null, submitted_at text not null)",
)

_REVIEWS = (
    "select review_id, index_visit_key, quarter_on, reason_code, stage_code, submitted_at "
    "from reviews join cases using (index_visit_key) where state_code = 'submitted'"
)
_ANSWERS = (
    "select review_id, field_code, code, submitted_at from answers join reviews using (review_id) "
    "where state_code = 'submitted'"
)


@dataclass(frozen=True)
class HandedOver:
    """How much was handed over."""

    hospitals: int
    reviews: int
    answers: int

    def __str__(self) -> str:
        return (
            f"{self.reviews:,} submitted reviews of {self.hospitals:,} hospitals, "
            f"{self.answers:,} answers"
        )


def hand_over(settings: Settings) -> HandedOver:
    """Write the submitted reviews of all hospitals into the file that the extractor reads.

    Each hospital's store is read in one state. Whatever happens on the way, the file that was
    handed over last stays.

    Raises:
        AuditError: the audit log cannot be written.
        ChartAuditError: a store cannot be read, or the file cannot be written.
    """
    path = settings.chart_reviews
    try:
        # One account over all zones makes it at its first use; else the home directory is root's.
        path.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unwritable(path, error.strerror) from None
    refusal = ChartAuditError(f"Reviews are being handed over into {path}: wait until it is done.")
    with (
        exclusive(path.parent, refusal),
        audited(settings, "hand_over") as action,
        _new_file(path) as connection,
    ):
        done = _fill(connection, settings)
        action.add(hospitals=done.hospitals, rows=about(done.reviews + done.answers))
    return done


def _fill(connection: sqlite3.Connection, settings: Settings) -> HandedOver:
    stores = hospitals(settings)
    reviews = answers = 0
    for statement in _TABLES:
        connection.execute(statement)
    for hospital in stores:
        found_reviews, found_answers = _submitted(settings, hospital)
        connection.executemany(
            "insert into case_reviews values (?1 || ':' || ?2, ?1, ?3, ?4, ?5, ?6, ?7)",
            [(hospital, *row) for row in found_reviews],
        )
        connection.executemany(
            "insert into review_answers values (?1 || ':' || ?2 || ':' || ?3 || ':' || ?4, "
            "?1 || ':' || ?2, ?3, ?4, ?5)",
            [(hospital, *row) for row in found_answers],
        )
        reviews, answers = reviews + len(found_reviews), answers + len(found_answers)
    return HandedOver(len(stores), reviews, answers)


def _submitted(settings: Settings, hospital: str) -> list[list[tuple[Any, ...]]]:
    try:
        with opened_store(settings, hospital) as store:
            return store.at_one_state(_REVIEWS, _ANSWERS)
    except ChartAuditError as error:
        raise ChartAuditError(f"Nothing was handed over: {hospital}: {error}") from None


@contextmanager
def _new_file(path: Path) -> Iterator[sqlite3.Connection]:
    """Make a database beside its place, and put it there once it is whole and on the disk."""
    temporary = path.with_name(f".{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        mode = 0o640 if is_shared(path.parent) else 0o600
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, mode)
        os.fchmod(handle, mode)
        os.close(handle)
        with closing(sqlite3.connect(temporary, isolation_level=None)) as connection:
            # Nothing may lie beside it that a reader without write access would have to mend.
            connection.execute("pragma journal_mode = memory")
            connection.execute("begin")
            yield connection
            connection.execute("commit")
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except (OSError, sqlite3.Error) as error:
        raise _unwritable(path, getattr(error, "strerror", None)) from None
    finally:
        temporary.unlink(missing_ok=True)


def _unwritable(path: Path, why: str | None) -> ChartAuditError:
    return ChartAuditError(
        f"The reviews could not be handed over into {path} ({why or 'an error of the disk'}): the "
        "file that was handed over last stays; mend the directory or free space."
    )

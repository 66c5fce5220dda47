"""The honest broker's answer: given once, to who asked, after somebody else has agreed.

What was answered before is read from the broker's own audit log, so there is one truth of it: an
approval is spent by the entry that is written and synced before the vault is opened. A kill after
that entry leaves an approval without an answer, never an answer without an entry.
"""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa

from extract.broker.keys import broker_keys
from extract.broker.papers import (
    APPROVING_ROLES,
    Paper,
    Request,
    read_approvals,
    read_request,
)
from extract.broker.records import (
    SEEN_BY,
    Places,
    Tables,
    contract_tables,
    find_places,
    read_records,
)
from governance.accounts import Role
from governance.audit.entries import INSTANT, Entry
from governance.audit.events import ACCOUNT, HOSPITAL
from governance.audit.log import append, audited
from governance.audit.verify import read_own_log
from governance.errors import AuditError, BrokerError
from governance.files import write_whole
from governance.locks import exclusive
from governance.settings import Settings

EVENT = "identity_lookup"
ANSWER_DAYS = 7
_DAY = timedelta(hours=24)
# An approver's clock may be a little ahead of the broker's.
_SLACK = timedelta(minutes=5)
_WAIT_SECONDS = 60.0


class Refused(BrokerError):
    """The broker does not answer.

    Attributes:
        code: why, as the audit log has it.
    """

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code


@dataclass(frozen=True)
class Answer:
    """What was answered: a row for each token, and the file it lies in, if it was left in one."""

    rows: pa.Table
    requester: str
    path: Path | None

    def __str__(self) -> str:
        place = f" in {self.path}, for {self.requester} alone" if self.path else ""
        return f"{self.rows.num_rows} records{place}"

    def text(self) -> str:
        """Return the answer as CSV."""
        return as_csv(self.rows)


@dataclass
class _Case:
    """One lookup: what was answered before it, and what is known of it so far, for the log."""

    settings: Settings
    request_id: str
    now: datetime
    history: list[Entry]
    known: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class _Granted:
    """A request that may be answered, with the papers that say so."""

    request: Request
    role: Role
    paper: Paper
    approval: Paper


def look_up(
    settings: Settings, request_id: str, *, deliver: bool = True, now: datetime | None = None
) -> Answer:
    """Answer a request, if everything that must hold does; log it before the vault is opened.

    Args:
        settings: the installation.
        request_id: which request.
        deliver: leave the answer in a file for the requester; otherwise it is only returned.
        now: the instant to judge by; the clock's where none is given.

    Raises:
        Refused: a condition does not hold; the refusal is in the log.
        AuditError: the log cannot be written or is damaged; nothing was answered.
        KeyFileError: the broker has no key to the vault.
        VaultError: the vault is not as it was written; the approval is spent.
    """
    # One at a time: two lookups with one approval must not both find it unused.
    busy = BrokerError("Another lookup is going on and does not end: look after that process.")
    with exclusive(_ledger(settings), busy, wait_seconds=_WAIT_SECONDS):
        case = _Case(settings, request_id, now or datetime.now(UTC), _history(settings))
        tables = contract_tables()
        with _refusals_logged(case):
            granted = _judge(case)
            folder = _answers(settings, granted.request) if deliver else None
            places = _places(case, granted.request, tables)
            _check_cap(case, granted.request, places)
        _keep(settings, granted)
        with audited(settings, EVENT, **case.known):
            role = granted.role.code
            rows = read_records(settings, tables, places, role, broker_keys(settings))
            path = _deliver(folder, granted, rows, settings) if folder else None
    return Answer(rows, granted.request.requester, path)


@contextmanager
def _refusals_logged(case: _Case) -> Iterator[None]:
    try:
        yield
    except Refused as refusal:
        append(case.settings, EVENT, case.known | {"refusal": refusal.code}, outcome="refused")
        raise


def _judge(case: _Case) -> _Granted:
    settings = case.settings
    try:
        request, paper = read_request(settings, case.request_id)
    except BrokerError as error:
        raise Refused("unreadable", str(error)) from None
    case.known["request_sha256"] = paper.sha256
    if ACCOUNT.accepts(paper.owner, settings):
        case.known["requester"] = paper.owner
    if request.requester != paper.owner:
        raise Refused("owner", f"The request is {paper.owner}'s file and names somebody else.")
    role = _role_of(case, request)
    _check_unused(case)
    approval = _approved(case, request, paper)
    case.known["approver"] = approval.owner
    return _Granted(request, role, paper, approval)


def _role_of(case: _Case, request: Request) -> Role:
    settings = case.settings
    role = settings.roles.get(request.requester)
    if role is None or role.code not in SEEN_BY:
        raise Refused(
            "role", f"{request.requester} has no role that may ask for records ([roles])."
        )
    case.known["role"] = role.code
    if request.hospital not in role.hospitals or not HOSPITAL.accepts(request.hospital, settings):
        raise Refused(
            "hospital", f"{request.requester} has no role at the hospital that is asked for."
        )
    case.known["hospital"] = request.hospital
    case.known |= {"reason": request.reason, "purpose": request.purpose}
    return role


def _approved(case: _Case, request: Request, paper: Paper) -> Paper:
    settings, has_expired = case.settings, False
    for approval, approved in read_approvals(settings, request.id):
        role = settings.roles.get(approval.approver)
        if (
            approval.approver != approved.owner
            or approved.owner == paper.owner
            or approval.request_sha256 != paper.sha256
            or role is None
            or role.code not in APPROVING_ROLES
            or request.hospital not in role.hospitals
        ):
            continue
        life = timedelta(hours=settings.broker_limits.approval_hours)
        if approval.at and case.now - life < approval.at <= case.now + _SLACK:
            return approved
        has_expired = True
    if has_expired:
        raise Refused("expired", "The approval has expired, or is dated ahead: ask for a new one.")
    raise Refused(
        "not_approved",
        "Nobody who may has approved this request as it stands: a data steward or honest broker "
        "of the hospital other than the requester must, with `scutari vault approve`.",
    )


def _history(settings: Settings) -> list[Entry]:
    log = read_own_log(settings)
    if log is None:
        return []
    if log.faults:
        raise AuditError(
            f"The broker's audit log is not as it was written ({log.faults[0]}), so nobody can "
            "tell what was answered before: nothing is answered; run `scutari audit verify`."
        )
    return [e for e in log.entries if e.event == EVENT and e.outcome == "begun"]


def _check_unused(case: _Case) -> None:
    sha256, history = case.known["request_sha256"], case.history
    if any(entry.parameters.get("request_sha256") == sha256 for entry in history):
        raise Refused("used", "This request was answered before: a new one takes a new approval.")
    if history and _instant(history[-1]) > case.now:
        raise Refused(
            "clock",
            "The clock is behind the last answer, so that an expired approval would pass: set it.",
        )


def _places(case: _Case, request: Request, tables: Tables) -> Places:
    try:
        places = find_places(case.settings, tables, request.hospital, request.tokens)
    except BrokerError as error:
        raise Refused("tokens", str(error)) from None
    case.known |= {"snapshot_id": places.snapshot_id, "persons": len(places.registrations)}
    return places


def _check_cap(case: _Case, request: Request, places: Places) -> None:
    recent = [
        entry.parameters.get("persons", 0)
        for entry in case.history
        if entry.parameters.get("requester") == request.requester
        and _instant(entry) > case.now - _DAY
    ]
    before = sum(count for count in recent if isinstance(count, int))
    most = case.settings.broker_limits.daily_persons
    if before + len(places.registrations) > most:
        raise Refused(
            "daily_cap",
            f"{request.requester} was answered about {before} registrations in the last 24 hours, "
            f"and the limit is {most}: ask for fewer, or wait.",
        )


def _instant(entry: Entry) -> datetime:
    return datetime.strptime(entry.at, INSTANT).replace(tzinfo=UTC)


def _ledger(settings: Settings) -> Path:
    folder = settings.broker / "ledger"
    if settings.accounts is None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _keep(settings: Settings, granted: _Granted) -> None:
    """Keep both papers as they were: the log has the digest of one, which stands in the other."""
    for name, paper in (("request", granted.paper), ("approval", granted.approval)):
        path = _ledger(settings) / f"{granted.paper.sha256}.{name}.json"
        write_whole(path, paper.content, 0o600)


def _answers(settings: Settings, request: Request) -> Path:
    """Return where the requester finds the answer, before an approval is spent for nothing."""
    folder = settings.broker / "answers" / request.requester
    if settings.accounts is None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not folder.is_dir():
        raise BrokerError(
            f"There is no directory {folder}: make it with `scutari zones --prepare` as root, or "
            "give --show."
        )
    return folder


def _deliver(folder: Path, granted: _Granted, rows: pa.Table, settings: Settings) -> Path:
    """Write the answer for the requester, who reads it through a group of their own."""
    for old in folder.glob("*.csv"):
        if old.stat().st_mtime < time.time() - ANSWER_DAYS * _DAY.total_seconds():
            old.unlink()
    path = folder / f"{granted.request.id}.csv"
    write_whole(path, as_csv(rows).encode(), 0o640 if settings.accounts else 0o600)
    return path


def as_csv(rows: pa.Table) -> str:
    """Return rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(rows.column_names)
    writer.writerows(row.values() for row in rows.to_pylist())
    return text.getvalue()

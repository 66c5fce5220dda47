"""Requests and approvals: files whose owner, as the operating system has it, is their author.

Nobody can make a file of another account's, and in a directory with the sticky bit nobody can take
one away or replace it. So who asks and who approves is not typed in, but read from the file. A
request's digest covers all its bytes; an approval names that digest and holds for nothing else.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from governance.accounts import account_name, own_account
from governance.audit.events import PURPOSES, REASONS
from governance.errors import BrokerError
from governance.settings import Settings

FORMAT = 1
APPROVING_ROLES = ("data_steward", "honest_broker")
MOST_TOKENS = 999
MOST_BYTES = 1 << 16
DROP_MODE = 0o1733
TOKEN = re.compile(r"[0-9a-f]{20}")
_HOSPITAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_ID = re.compile(r"[0-9a-f]{32}")
_INSTANT = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True)
class Request:
    """What somebody wants to know: the records behind the tokens of one hospital, and why."""

    id: str
    requester: str
    hospital: str
    reason: str
    purpose: str
    tokens: tuple[str, ...]
    requested_at: str


@dataclass(frozen=True)
class Approval:
    """One account's consent to one request as it stood."""

    request_id: str
    request_sha256: str
    approver: str
    approved_at: str

    @property
    def at(self) -> datetime | None:
        """When it was given; None where it does not say so."""
        return _instant(self.approved_at)


@dataclass(frozen=True)
class Paper:
    """A file as it was read: its bytes, its owner, and what the bytes say of themselves."""

    content: bytes
    owner: str

    @property
    def sha256(self) -> str:
        """The digest that an approval names."""
        return hashlib.sha256(self.content).hexdigest()


Body = TypeVar("Body", Request, Approval)


def write_request(
    settings: Settings, *, hospital: str, reason: str, purpose: str, tokens: list[str]
) -> Request:
    """Lay down a request of the account this process acts as.

    Raises:
        BrokerError: there is no token, too many, or something that is none; or the hospital's
            code is no code.
    """
    if not _HOSPITAL.fullmatch(hospital):
        raise BrokerError("A hospital is named by its code: letters, digits, _ and -.")
    unique = tuple(sorted(set(tokens)))
    if not unique or len(unique) > MOST_TOKENS:
        raise BrokerError(f"A worklist holds from 1 to {MOST_TOKENS} tokens: split it.")
    bad = sum(TOKEN.fullmatch(token) is None for token in unique)
    if bad:
        raise BrokerError(
            f"{bad} lines of the worklist are no token of 20 hexadecimal digits: nobody is looked "
            "up by name or number; take the keys of the worklist as they are."
        )
    request = Request(
        id=secrets.token_hex(16),
        requester=own_account(),
        hospital=hospital,
        reason=reason,
        purpose=purpose,
        tokens=unique,
        requested_at=_now(),
    )
    _lay_down(drop(settings, "requests") / f"{request.id}.json", request)
    return request


def write_approval(settings: Settings, request_id: str, sha256: str) -> Approval:
    """Lay down the consent of the account this process acts as to a request of that digest."""
    approval = Approval(
        request_id=request_id,
        request_sha256=sha256,
        approver=own_account(),
        approved_at=_now(),
    )
    _lay_down(drop(settings, "approvals") / f"{request_id}.{approval.approver}.json", approval)
    return approval


def read_request(settings: Settings, request_id: str) -> tuple[Request, Paper]:
    """Read a request; whether it may be answered is for others to say.

    Raises:
        BrokerError: there is none, or the file is no request as ``write_request`` writes it.
    """
    if not _ID.fullmatch(request_id):
        raise BrokerError("A request is named by the 32 hexadecimal digits it was given.")
    paper = _read(drop(settings, "requests") / f"{request_id}.json", "request")
    request = _parsed(paper, Request)
    if request is None or request.id != request_id or not _is_sound(request):
        raise BrokerError(f"The file of request {request_id} is no request: make a new one.")
    return request, paper


def read_approvals(settings: Settings, request_id: str) -> Iterator[tuple[Approval, Paper]]:
    """Yield the approvals laid down for a request; what is none is passed over."""
    for path in sorted(drop(settings, "approvals").glob(f"{request_id}.*.json")):
        try:
            paper = _read(path, "approval")
        except BrokerError:
            continue
        approval = _parsed(paper, Approval)
        if approval is not None and approval.request_id == request_id:
            yield approval, paper


def drop(settings: Settings, name: str) -> Path:
    """Return a directory for papers; one account over all zones makes it at its first use."""
    folder = settings.broker / name
    if settings.accounts is None and not folder.is_dir():
        folder.mkdir(parents=True)
        folder.chmod(DROP_MODE)
    return folder


def _lay_down(path: Path, body: Request | Approval) -> None:
    try:
        path.unlink(missing_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except OSError as error:
        raise BrokerError(
            f"{path} could not be written ({error.strerror}): ask for the directory to be prepared "
            "with `scutari zones --prepare`."
        ) from None
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), 0o644)
        file.write(_written(body))
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, what: str) -> Paper:
    try:
        # Neither follow a link out of the directory nor wait for a pipe's other end.
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise BrokerError(f"The {what} {path.name} cannot be read ({error.strerror}).") from None
    with os.fdopen(handle, "rb") as file:
        information = os.fstat(file.fileno())
        if not stat.S_ISREG(information.st_mode) or information.st_nlink != 1:
            # A second name would let somebody pass off another's file.
            raise BrokerError(f"The {what} {path.name} is no file of its own.")
        if information.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise BrokerError(f"The {what} {path.name} can be written by others than its owner.")
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BrokerError(f"The {what} {path.name} is too long to be one.")
    return Paper(content, account_name(information.st_uid))


def _parsed(paper: Paper, kind: type[Body]) -> Body | None:
    """Return what a paper says, if its bytes are exactly those that would be written for it."""
    try:
        raw: dict[str, Any] = json.loads(paper.content.decode("ascii"))
        if raw.pop("format") != FORMAT:
            return None
        tokens = {"tokens": tuple(raw["tokens"])} if "tokens" in raw else {}
        body = kind(**(raw | tokens))
        texts = (value for name, value in asdict(body).items() if name != "tokens")
        is_typed = all(type(text) is str for text in texts)
        return body if is_typed and _written(body) == paper.content else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_sound(request: Request) -> bool:
    # What is no code is not shown to an approver either: it could be anything, on a terminal.
    tokens = request.tokens
    return (
        _HOSPITAL.fullmatch(request.hospital) is not None
        and request.reason in REASONS
        and request.purpose in PURPOSES
        and _instant(request.requested_at) is not None
        and 0 < len(tokens) <= MOST_TOKENS
        and all(type(token) is str and TOKEN.fullmatch(token) for token in tokens)
        and tokens == tuple(sorted(set(tokens)))
    )


def _instant(text: str) -> datetime | None:
    try:
        at = datetime.strptime(text, _INSTANT).replace(tzinfo=UTC)
    except ValueError:
        return None
    return at if at.strftime(_INSTANT) == text else None


def _written(body: Request | Approval) -> bytes:
    text = json.dumps({"format": FORMAT, **asdict(body)}, indent=1, ensure_ascii=True)
    return text.encode("ascii") + b"\n"


def _now() -> str:
    return datetime.now(UTC).strftime(_INSTANT)

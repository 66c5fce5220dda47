"""Erasing a person: what would go, the tombstone, and everything after it.

The tombstone is written first. From then on whatever still has the person names an earlier
tombstone, nothing is read from it, and ``erase_again`` does the rest, as it does after a restore.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq

from extract.erasure.amend import AmendedSnapshot, ErasureAmender
from extract.erasure.find import (
    Erased,
    Registration,
    close,
    named_by_tombstones,
    registrations_of,
    tokens_of,
)
from extract.erasure.held import Held, Inode, inode_of, key_columns, open_zones, quarantined_rows
from extract.erasure.state import last_head, require_applied_to_zones
from extract.erasure.tombstones import (
    LOG,
    PERSON_DOMAIN,
    Marks,
    Tombstone,
    append_tombstone,
    begin,
    folder,
    is_token,
    marker_of,
    read_tombstones,
)
from extract.erasure.vault import amend_review_files, amend_token_maps
from extract.identity.tokens import KEY_FILE, derive_key
from extract.lake import current_directory
from extract.zones import locked
from governance.audit.events import ERASURE_REASONS, about
from governance.audit.log import audited
from governance.errors import ErasureError
from governance.settings import Settings

Progress = Callable[[str], None]
REQUEST_DIGITS = 16
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass(frozen=True)
class Plan:
    """What an erasure would take out; ``request`` confirms exactly this.

    Attributes:
        registrations: of the person.
        rows: of the person, by table, in the current snapshot and in its quarantine.
        snapshots: how many snapshots hold any of it.
        files: how many lake files would be written anew.
        request: a digest of who, why, and what is there now.
    """

    registrations: int
    rows: dict[str, int]
    snapshots: int
    files: int
    request: str


@dataclass
class ErasureReport:
    """What an erasure did.

    Attributes:
        tombstone: the erasure; None where earlier ones were applied again.
        snapshots: what was done to each.
        pairs: pairs of old and new tokens that were removed.
        reviews: rows removed from what matching keeps for its reviewers.
    """

    tombstone: Tombstone | None
    snapshots: list[AmendedSnapshot] = field(default_factory=list)
    pairs: int = 0
    reviews: int = 0

    @property
    def rows(self) -> Counter[str]:
        """Rows of the newest snapshot that were removed, by table."""
        return +self.snapshots[-1].rows if self.snapshots else Counter()


def plan_erasure(settings: Settings, named: str, reason: str) -> Plan:
    """Say what erasing a person would take out; nothing is changed.

    Args:
        settings: the installation.
        named: a registration token or person id of the newest snapshot.
        reason: a code of ``ERASURE_REASONS``.

    Raises:
        ErasureError: nobody is named by it, or earlier erasures must be applied first.
        SnapshotError: a snapshot is being taken.
    """
    _check_words(named, reason)
    with _open(settings) as held:
        require_applied_to_zones(settings, held.keyring)
        registrations, _ = registrations_of(held, named)
        return _plan(held, registrations, _found(held, registrations, set()), reason)


def erase(
    settings: Settings, named: str, reason: str, request: str, progress: Progress = lambda _: None
) -> ErasureReport:
    """Take a person out of vault, quarantine and every snapshot, and leave a tombstone.

    ``pending`` stays in the tombstones' folder until the caller has removed what was made of the
    snapshots and calls ``tombstones.end``.

    Args:
        settings: the installation.
        named: a registration token or person id of the newest snapshot.
        reason: a code of ``ERASURE_REASONS``.
        request: what ``plan_erasure`` gave out.
        progress: is told about every snapshot.

    Raises:
        AuditError: the audit log cannot be written.
        ErasureError: as ``plan_erasure``; or what is there is not what was planned.
    """
    _check_words(named, reason)
    with (
        _open(settings) as held,
        audited(settings, "erase", reason=reason, is_again=False) as action,
        _explained(settings),
    ):
        require_applied_to_zones(settings, held.keyring)
        registrations, persons = registrations_of(held, named)
        erased = _found(held, registrations, persons)
        plan = _plan(held, registrations, erased, reason)
        if not hmac.compare_digest(plan.request, request):
            raise ErasureError(
                "The request does not name what is there now (another person, another reason, or "
                "a snapshot was taken since): look at it with --dry-run and confirm its request."
            )
        tombstone = append_tombstone(
            settings,
            reason,
            len(registrations),
            _source_marks(settings, registrations),
            _token_marks(held, erased),
        )
        report = _apply(held, erased, tombstone, progress)
        action.add(
            erasures=tombstone.number,
            registrations=len(registrations),
            snapshots=sum(s.is_changed for s in report.snapshots),
            rows=about(sum(report.rows.values())),
        )
    return report


def erase_again(settings: Settings, progress: Progress = lambda _: None) -> ErasureReport:
    """Apply every tombstone to what is there: after a restore, or when an erasure was cut off.

    Raises:
        AuditError: the audit log cannot be written.
        ErasureError: what is there knows of erasures that the tombstones do not.
    """
    with (
        _open(settings) as held,
        audited(settings, "erase", is_again=True) as action,
        _explained(settings),
    ):
        tombstones = read_tombstones(settings)
        known = {"", *(tombstones.heads if tombstones else ())}
        heads = {s.manifest.tombstones for s in held.snapshots}
        heads |= {s.version.tombstones for s in held.snapshots if s.version is not None}
        if heads - known:
            raise ErasureError(
                f"A snapshot knows of an erasure that {folder(settings) / LOG} does not: put the "
                "newest copy of the tombstones in place (each backup has one) and try again."
            )
        if tombstones is None:
            begin(settings)
            return ErasureReport(None)
        erased = named_by_tombstones(held, tombstones)
        close(held, erased)
        report = _apply(held, erased, None, progress)
        action.add(
            erasures=len(tombstones.records),
            snapshots=sum(s.is_changed for s in report.snapshots),
            rows=about(sum(report.rows.values())),
        )
    return report


def _check_words(named: str, reason: str) -> None:
    if not is_token(named):
        raise ErasureError(
            "A person is named by a registration token or a person id, 20 hexadecimal digits: "
            "what was given is neither."
        )
    if reason not in ERASURE_REASONS:
        raise ErasureError(f"The reason must be one of {', '.join(ERASURE_REASONS)}.")


@contextlib.contextmanager
def _open(settings: Settings) -> Iterator[Held]:
    if current_directory(settings.lake) is None:
        raise ErasureError(f"There is no snapshot in {settings.lake}, so there is nobody to erase.")
    with locked(settings), open_zones(settings) as held:
        yield held


@contextlib.contextmanager
def _explained(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        what = "the disk is full" if error.errno in _FULL_DISK else type(error).__name__
        raise ErasureError(
            f"The erasure could not be written under {settings.home} ({what}): free space or mend "
            "the directory and run `scutari erase --again`."
        ) from None


def _found(held: Held, registrations: list[Registration], persons: set[str]) -> Erased:
    erased = Erased()
    for domain, tokens in tokens_of(held, registrations).items():
        erased.add(domain, tokens)
    close(held, erased)
    erased.add(PERSON_DOMAIN, persons)
    return erased


def _plan(held: Held, registrations: list[Registration], erased: Erased, reason: str) -> Plan:
    counts: dict[Inode, Counter[str]] = {}
    total: dict[str, Counter[str]] = {}
    for snapshot in held.snapshots:
        own = total[snapshot.name] = Counter()
        makers = held.tokenisers(snapshot)
        for belonging in held.tables.values():
            name = f"{belonging.table.source}.{belonging.table.name}"
            for file in snapshot.files(belonging).values():
                if inode_of(file) not in counts:
                    owned = belonging.owned(key_columns(file, belonging), erased.is_in)
                    counts[inode_of(file)] = Counter({name: int(owned.sum())})
                own += counts[inode_of(file)]
            for file in snapshot.quarantined(belonging).values():
                found = quarantined_rows(pq.read_table(file), belonging, makers)
                gone = {r.source_key for r in found if r.row and erased.owns(belonging, r)}
                own[name] += len(gone)
    current = held.snapshots[-1].name
    rows = dict(sorted((+total[current]).items()))
    body: list[object] = [reason, current, last_head(held.settings), rows]
    body.append(sorted([r.table.source, r.table.name, r.source_id] for r in registrations))
    secret = derive_key((held.settings.vault / KEY_FILE).read_bytes(), "erasure request")
    digest = hmac.digest(secret, json.dumps(body).encode(), hashlib.sha256).hex()
    return Plan(
        registrations=len(registrations),
        rows=rows,
        snapshots=sum(any(count.values()) for count in total.values()),
        files=sum(any(count.values()) for count in counts.values()),
        request=digest[:REQUEST_DIGITS],
    )


def _source_marks(settings: Settings, registrations: list[Registration]) -> Marks:
    marker, marks = marker_of(settings), Marks()
    for one in registrations:
        domain = one.table.key.key_domain or ""
        mark = marker.of_sources(pa.array([one.value]), domain)[0].as_py()
        marks.setdefault(domain, []).append(mark)
    return {domain: sorted(set(values)) for domain, values in marks.items()}


def _token_marks(held: Held, erased: Erased) -> Marks:
    """Mark every token and person id that a file put back could hold."""
    marker = marker_of(held.settings)
    return {
        domain: sorted(
            set(marker.of_tokens(pa.array(sorted(tokens), pa.string()), domain).to_pylist())
        )
        for domain, tokens in sorted(erased.tokens.items())
        if tokens and not domain.startswith("row ")
    }


def _apply(
    held: Held, erased: Erased, tombstone: Tombstone | None, progress: Progress
) -> ErasureReport:
    begin(held.settings)
    tombstones = read_tombstones(held.settings)
    report = ErasureReport(tombstone)
    if tombstones is None:
        return report
    amender = ErasureAmender(held, erased, tombstones)
    for snapshot in held.snapshots:
        done = amender.amend(snapshot)
        report.snapshots.append(done)
        progress(
            f"snapshot {done.name}: {sum(done.rows.values()):,} rows removed, "
            f"{done.lake_files} files of the lake and {done.vault_files} of the vault written anew"
        )
    report.pairs = amend_token_maps(held, erased)
    report.reviews = amend_review_files(held, erased)
    return report

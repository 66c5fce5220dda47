"""Who was given which persons and columns, so that no two releases can be laid side by side.

Two releases that hold the same persons under the same columns can be joined by their contents,
whatever their ids: whoever holds both knows more of a person than either gate allowed. So a release
is refused where its recipient, or everybody, was given such a one before.

``release/.ledger/`` belongs to the release account alone (mode 700). Of persons it holds keyed
digests, never the ids of the warehouse.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from governance.audit.log import append
from governance.errors import PublicationError
from governance.files import sync, write_whole
from governance.key_files import KEY_BYTES, read_key, write_key
from governance.settings import Settings
from ops.release.files import hold

DIRECTORY = ".ledger"
LEDGER = "ledger.json"
KEY = "ledger.key"
EVERYBODY = "everybody"
# Why a release no longer counts; what everybody may have had can only never have been sent.
CLOSED_REASONS = ("destroyed", "never_sent", "returned", "synthetic")
_DIGEST = pa.binary(16)
_RECIPIENT = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


@dataclass(frozen=True)
class Given:
    """One release that left, or may have left, the house.

    Attributes:
        release: its name.
        profile: the profile it was made under.
        recipient: code of who was given it, or ``everybody``.
        agreement: id of the data use agreement; None where the profile needs none.
        snapshot_id: the snapshot it was made from.
        given_at: UTC instant in ISO 8601.
        manifest_sha256: digest of its manifest.
        columns: ``table.column`` of every column but keys.
        persons_count: persons in it.
        closed_reason: why it no longer counts; None while it does.
    """

    release: str
    profile: str
    recipient: str
    agreement: str | None
    snapshot_id: str
    given_at: str
    manifest_sha256: str
    columns: tuple[str, ...]
    persons_count: int
    closed_reason: str | None = None

    def __str__(self) -> str:
        state = f"closed ({self.closed_reason})" if self.closed_reason else "given"
        under = f" under {self.agreement}" if self.agreement else ""
        return (
            f"{self.release}: profile {self.profile}, {state} to {self.recipient}{under} on "
            f"{self.given_at[:10]}, {self.persons_count:,} persons, {len(self.columns)} columns, "
            f"snapshot {self.snapshot_id}"
        )


class ReleaseLedger:
    """The ledger of one installation; its caller holds the lock of the release directory.

    Raises:
        KeyFileError: the ledger's key can be read by other accounts.
        PublicationError: the ledger cannot be read, or has lost its key.
    """

    def __init__(self, settings: Settings) -> None:
        self._directory = settings.release / DIRECTORY
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.entries = self._read()
        key = read_key(self._directory / KEY, "key of the release ledger")
        if key is None:
            if self.entries:
                raise PublicationError(
                    f"The release ledger {self._directory} has lost its key {KEY}, and cannot say "
                    "whom earlier releases hold: restore it from its backup."
                )
            key = os.urandom(KEY_BYTES)
            write_key(self._directory / KEY, key)
        self._key = key

    def check(self, recipient: str, columns: Iterable[str], persons: pa.Array) -> None:
        """Refuse what could be joined to an earlier release in the same hands.

        Args:
            recipient: code of who is to be given it, or ``everybody``.
            columns: ``table.column`` of every column but keys.
            persons: the warehouse's ids of the persons in it.

        Raises:
            PublicationError: an earlier release holds some of the persons under the same columns.
        """
        check_recipient(recipient)
        digests = self._digests(persons)
        for given in self.entries:
            is_in_same_hands = EVERYBODY in (recipient, given.recipient) or (
                recipient == given.recipient
            )
            if given.closed_reason or not is_in_same_hands:
                continue
            if set(columns) & set(given.columns) and pc.any(self._held(given, digests)).as_py():
                raise PublicationError(
                    f"The release holds persons who also stand in the release {given.release}, "
                    f"given to {given.recipient}, under the same columns: the two could be joined "
                    "by their contents. Give one to each, or close the earlier once it is returned "
                    f"or destroyed: `scutari ledger close {given.release} --reason destroyed`."
                )

    def is_held(self, given: Given, persons: pa.Array) -> pa.Array:
        """Say of each person whether an earlier release holds it.

        Raises:
            PublicationError: the ledger has lost whom it holds.
        """
        return self._held(given, self._digests(persons))

    def add(self, given: Given, persons: pa.Array) -> None:
        """Write a release down, before its files appear.

        Raises:
            PublicationError: a release of that name was given before, and counts.
        """
        check_recipient(given.recipient)
        if any(e.release == given.release and not e.closed_reason for e in self.entries):
            raise PublicationError(
                f"A release {given.release} was given before: choose another name."
            )
        path = self._persons_file(given)
        digests = self._digests(persons)
        table = pa.table({"person": digests.take(pc.sort_indices(digests))})
        # The umask of an operator must not open it.
        path.touch(mode=0o600)
        pq.write_table(table, path, compression="zstd", use_dictionary=False)
        sync(path)
        self._write([*self.entries, given])

    def remove(self, given: Given) -> None:
        """Take back the entry of a release whose files did not appear."""
        self._write([entry for entry in self.entries if entry != given])
        self._persons_file(given).unlink()

    def find_open(self, release: str) -> Given:
        """Return the entry of a release that counts.

        Raises:
            PublicationError: there is none.
        """
        for entry in self.entries:
            if entry.release == release and not entry.closed_reason:
                return entry
        raise PublicationError(
            f"The ledger holds no open release {release}: `scutari ledger show` lists them."
        )

    def close(self, given: Given, reason: str) -> Given:
        """Let a release no longer count."""
        closed = replace(given, closed_reason=reason)
        self._write([closed if entry == given else entry for entry in self.entries])
        return closed

    def _persons_file(self, given: Given) -> Path:
        return self._directory / f"{given.release}.{given.manifest_sha256[:16]}.parquet"

    def _held(self, given: Given, digests: pa.Array) -> pa.Array:
        try:
            known = pq.read_table(self._persons_file(given)).column("person").combine_chunks()
        except (OSError, pa.ArrowException):
            raise PublicationError(
                f"The release ledger cannot say whom {given.release} holds: restore "
                f"{self._persons_file(given)} from its backup."
            ) from None
        return pc.is_in(digests, value_set=known.cast(_DIGEST))

    def _digests(self, persons: pa.Array) -> pa.Array:
        return pa.array(
            [
                hashlib.blake2b(str(key).encode(), digest_size=16, key=self._key).digest()
                for key in persons.to_pylist()
            ],
            _DIGEST,
        )

    def _read(self) -> list[Given]:
        path = self._directory / LEDGER
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return [Given(**row | {"columns": tuple(row["columns"])}) for row in rows]
        except FileNotFoundError:
            return []
        except (OSError, ValueError, TypeError, KeyError):
            raise PublicationError(
                f"The release ledger {path} cannot be read: restore it from its backup."
            ) from None

    def _write(self, entries: list[Given]) -> None:
        text = json.dumps([asdict(entry) for entry in entries], indent=1)
        write_whole(self._directory / LEDGER, text.encode(), 0o600)
        self.entries = entries


def check_recipient(recipient: str) -> None:
    """Refuse what is no code of a recipient.

    Raises:
        PublicationError: it is none.
    """
    if not _RECIPIENT.fullmatch(recipient):
        raise PublicationError(
            "A recipient is named by a code of lowercase letters, digits, - and _ (up to 64): "
            "take the one of your register of agreements."
        )


def close_release(settings: Settings, release: str, reason: str) -> Given:
    """Let a release no longer count, and say so in the audit log.

    Raises:
        AuditError: the audit log cannot be written.
        PublicationError: there is no such release, or everybody may still have it.
    """
    with hold(settings.release):
        ledger = ReleaseLedger(settings)
        given = ledger.find_open(release)
        if reason == "synthetic" and not settings.is_synthetic:
            raise PublicationError(
                "Only a release of a synthetic network is closed as synthetic: say what became of "
                f"{release} (destroyed, never_sent or returned)."
            )
        if given.recipient == EVERYBODY and reason in ("destroyed", "returned"):
            raise PublicationError(
                f"The release {release} was given to everybody, and nobody can say that all copies "
                f"are {reason}: only one that was never sent can be closed."
            )
        parameters = {"reason": reason, "manifest_sha256": given.manifest_sha256}
        append(settings, "release_closed", parameters, outcome="noted")
        return ledger.close(given, reason)


def now() -> str:
    """Return the instant as the ledger writes it."""
    return datetime.now(UTC).isoformat(timespec="seconds")

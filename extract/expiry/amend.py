"""Taking expired rows out of the snapshots that are kept, each judged by the dates in itself.

A date that was corrected between two nights makes a row old in one snapshot and not in the next.
Both stay true to themselves: the rows that others refer to are there, or the others are gone, too.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from extract.erasure.amend import Amender, United, hidden
from extract.erasure.belonging import Belonging, Place
from extract.erasure.find import Erased
from extract.erasure.held import (
    Held,
    HeldSnapshot,
    Inode,
    QuarantinedRow,
    inode_of,
    key_columns,
    one_array,
    quarantined_rows,
)
from extract.expiry.policy import Rules, concerned, limits
from extract.identity.opening import VERSIONS
from extract.lake import Amended, LakeFile, Manifest
from extract.values import Mask
from governance.files import replace_directory, sync


class Expired(Erased):
    """The keys of the expired rows of one snapshot, by key domain."""

    def __init__(self, rules: Rules) -> None:
        super().__init__()
        self._rules = rules
        self._marks: dict[str, str] = {}

    def owned(self, belonging: Belonging, columns: Mapping[str, pa.Array]) -> Mask:
        """Return which rows of a lake file go."""
        return self.is_in(belonging.key_domain, columns[belonging.table.primary_key])

    def owns(self, belonging: Belonging, row: QuarantinedRow) -> bool:
        """Whether a whole row in quarantine goes: by its date, or with what it refers to."""
        rule = self._rules.get((belonging.table.source, belonging.table.name))
        if rule and row.row and rule.is_old_in_quarantine(row.row.get(rule.column.name)):
            return True
        return super().owns(belonging, row)

    def mark(self, belonging: Belonging) -> str:
        """Tell apart what goes from one and the same file of a table in different snapshots."""
        domains = sorted(
            {belonging.key_domain, *(c.key_domain or "" for c in belonging.references)}
        )
        return " ".join(self._mark(domain) for domain in domains)

    def _mark(self, domain: str) -> str:
        known = self.tokens.get(domain, set())
        at = f"{domain} {len(known)}"  # a set only grows
        if at not in self._marks:
            body = "\n".join(sorted(known)).encode()
            self._marks[at] = hashlib.sha256(body).hexdigest()
        return self._marks[at]

    def rows(self, tables: Mapping[Place, Belonging]) -> Counter[str]:
        """Return how many rows of each table go."""
        counts = {
            f"{source}.{name}": len(self.tokens.get(b.key_domain, ()))
            for (source, name), b in tables.items()
        }
        return +Counter(counts)


@dataclass
class Finder:
    """Finds the expired rows of one snapshot after the other."""

    held: Held
    rules: Rules

    def __post_init__(self) -> None:
        self.tables = concerned(self.rules, self.held.tables)
        # Keys of rows that go with what they refer to, by file and by what that is.
        self._looked: dict[tuple[Inode, str], list[str]] = {}

    def find(self, snapshot: HeldSnapshot) -> Expired:
        """Return the expired rows of a snapshot, and all that goes with them."""
        expired = Expired(self.rules)
        for place, rule in self.rules.items():
            belonging = self.held.tables[place]
            for path, file in snapshot.files(belonging).items():
                if rule.state(Path(path).stem) and rule.column.name in pq.read_schema(file).names:
                    key = belonging.table.primary_key
                    columns = pq.read_table(file, columns=[key, rule.column.name])
                    old = pa.array(rule.is_old(one_array(columns.column(rule.column.name))))
                    keys = one_array(columns.column(key)).filter(old)
                    expired.add(belonging.key_domain, keys.cast(pa.string()).to_pylist())
            self._look_through_quarantine(snapshot, belonging, expired)
        while any(expired.tokens.values()):
            before = expired.size(expired.tokens)
            for belonging in self.tables.values():
                self._look_through(snapshot, belonging, expired)
                self._look_through_quarantine(snapshot, belonging, expired)
            if expired.size(expired.tokens) == before:
                break
        return expired

    def _look_through(self, snapshot: HeldSnapshot, belonging: Belonging, expired: Expired) -> None:
        for file in snapshot.files(belonging).values():
            known = inode_of(file), expired.mark(belonging)
            if known not in self._looked:
                columns = key_columns(file, belonging)
                owned = pa.array(belonging.owned(columns, expired.is_in))
                keys = columns[belonging.table.primary_key].filter(owned)
                self._looked[known] = keys.cast(pa.string()).to_pylist()
            expired.add(belonging.key_domain, self._looked[known])

    def _look_through_quarantine(
        self, snapshot: HeldSnapshot, belonging: Belonging, expired: Expired
    ) -> None:
        key = belonging.table.primary_key
        for file in snapshot.quarantined(belonging).values():
            for row in quarantined_rows(pq.read_table(file), belonging, [snapshot.tokeniser]):
                if row.row is not None and expired.owns(belonging, row):
                    expired.add(belonging.key_domain, [row.keys[0][key]])


class ExpiryAmender(Amender):
    """Takes expired rows out of snapshots."""

    def __init__(self, held: Held, rules: Rules) -> None:
        super().__init__(held, Expired(rules), "expired")
        self._rules = rules

    def expire(self, snapshot: HeldSnapshot, expired: Expired) -> None:
        """Put a snapshot without its expired rows in the place of one."""
        self.erased = expired
        self.amend(snapshot)

    def _stage_person_map(
        self, snapshot: HeldSnapshot, staged: Path, files: dict[str, LakeFile]
    ) -> bool:
        return False  # registrations do not expire

    def _described(self, before: Manifest, united_with: United, *, is_changed: bool) -> Manifest:
        amended = before.amended or Amended("", 0, ())
        return replace(
            before,
            expired_keys=united_with(before.expired_keys),
            expired_before=limits(self._rules),
            amended=replace(
                amended,
                at=datetime.now(UTC).isoformat(timespec="seconds"),
                expiries=amended.expiries + 1,
            ),
        )

    def _put_in_place(self, snapshot: HeldSnapshot) -> None:
        """Exchange the directories; a kill in between leaves no count that is not true.

        The counts of the lake's manifest are those of the quarantine, and two directories cannot be
        exchanged in one step. So there is none meanwhile: its rows are read again the next night,
        as where quarantine has gone by its age.
        """
        version = self.held.settings.vault / VERSIONS / snapshot.name
        places = [snapshot.lake, snapshot.quarantine]
        if snapshot.version is not None:
            places.append(version)
        for place in places:
            for directory, _, _ in os.walk(hidden(place)):
                sync(Path(directory))
        if snapshot.version is not None:
            replace_directory(hidden(version), version)
        had_quarantine = snapshot.quarantine.is_dir()
        if had_quarantine:
            gone = snapshot.quarantine.with_name(f".{snapshot.name}.gone.tmp")
            os.rename(snapshot.quarantine, gone)
            sync(gone.parent)
            shutil.rmtree(gone)
        replace_directory(hidden(snapshot.lake), snapshot.lake)
        if had_quarantine:
            os.rename(hidden(snapshot.quarantine), snapshot.quarantine)
            sync(snapshot.quarantine.parent)
        else:
            shutil.rmtree(hidden(snapshot.quarantine))

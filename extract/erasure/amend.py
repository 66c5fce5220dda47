"""Rewriting what is held, snapshot by snapshot, without the rows of the erased.

A snapshot's three directories are made anew under hidden names (a file in which nobody is erased is
linked, so every byte of it stays) and then take the places of the old ones: vault, lake,
quarantine. Each names the tombstone that is applied to it, so that a kill in between leaves one
that still names an earlier tombstone; the next run does all of it again. A file that many snapshots
share is written once and shared again.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from extract.erasure.find import Erased
from extract.erasure.held import Held, HeldSnapshot, Inode, inode_of
from extract.erasure.keysets import united
from extract.erasure.quarantine import rewrite_quarantine
from extract.erasure.rewrite import Change, Kind, rewrite_lake_file, rewrite_person_map
from extract.erasure.state import stamp_quarantine
from extract.erasure.tombstones import STAMP, Tombstones
from extract.erasure.vault import VaultAmender
from extract.identity.opening import VERSIONS
from extract.lake import Amended, LakeFile, Manifest, Partition, sha256_of, write_manifest
from extract.partitions import describe_file, link_file, write_table
from extract.reconcile import NULL_COUNT, ROW_COUNT, quarantine_rows, read_footer
from extract.sources.base import WHOLE_TABLE
from governance.errors import SnapshotError
from governance.files import replace_directory, sync

# Adds the keys that are gone to digests of those that were gone before.
United = Callable[[Mapping[str, str]], dict[str, str]]
PERSON_MAP = f"identity/person_map/{WHOLE_TABLE}.parquet"
RECONCILIATION = f"quality/reconciliation/{WHOLE_TABLE}.parquet"
QUARANTINE_TABLE = f"quality/quarantine/{WHOLE_TABLE}.parquet"


@dataclass
class AmendedSnapshot:
    """What an erasure did to one snapshot: rows removed by table, and files written anew."""

    name: str
    rows: Counter[str] = field(default_factory=Counter)
    lake_files: int = 0
    vault_files: int = 0
    quarantined_rows: int = 0

    @property
    def is_changed(self) -> bool:
        """Whether anything was removed."""
        return bool(self.lake_files or self.vault_files or self.quarantined_rows)


@dataclass
class Amender(ABC):
    """Amends snapshots of an installation, oldest first, by what goes from them.

    Attributes:
        held: the installation.
        erased: what goes; retention has other rows for each snapshot.
        kind: what rows that go are counted as.
    """

    held: Held
    erased: Erased
    kind: Kind

    def __post_init__(self) -> None:
        # By file and by what goes from it: see Erased.mark.
        self._changes: dict[tuple[Inode, str], Change | None] = {}
        self._places: dict[tuple[Inode, str], Path] = {}
        self._twins: dict[tuple[str, str], Path] = {}
        self._vault = VaultAmender(self.held)

    def amend(self, snapshot: HeldSnapshot) -> AmendedSnapshot:
        """Put an amended snapshot in the place of one."""
        done = AmendedSnapshot(snapshot.name)
        partitions, keys = self._stage_quarantine(snapshot, done)
        if snapshot.version is not None:
            done.vault_files = self._vault.stage(
                snapshot.version,
                snapshot.name,
                self.erased,
                self._head(snapshot.version.tombstones),
            )
        files = self._stage_lake(snapshot, partitions, keys, done)
        self._write_manifest(snapshot, partitions, keys, files, done)
        self._put_in_place(snapshot)
        for path, known in files.items():
            self._twins.setdefault((path, known.sha256), snapshot.lake / path)
        return done

    def _stage_quarantine(
        self, snapshot: HeldSnapshot, done: AmendedSnapshot
    ) -> tuple[dict[str, Partition], dict[str, set[str]]]:
        """Return the changed partitions by path, and the erased keys of rows in quarantine."""
        staged = hidden(snapshot.quarantine)
        staged.mkdir(mode=0o700, parents=True)
        partitions = self._doubtful(snapshot)
        keys: dict[str, set[str]] = {}
        touched: set[str] = set()
        for belonging in self.held.tables.values():
            table = belonging.table
            for path, file in snapshot.quarantined(belonging).items():
                before = snapshot.manifest.partition(table.source, table.name, file.stem)
                change = rewrite_quarantine(
                    file, staged / path, belonging, self.held.tokenisers(snapshot), self.erased
                )
                if change is None:
                    continue
                touched.add(path)
                done.quarantined_rows += change.items
                if before is None or snapshot.quarantine_head != snapshot.manifest.tombstones:
                    continue
                partitions[path] = change.applied(before, self.kind)
                keys.setdefault(belonging.key_domain, set()).update(change.keys)
                done.rows[f"{table.source}.{table.name}"] += change.rows
        _link_rest(snapshot.quarantine, staged, gone=touched)
        stamp_quarantine(staged, self._head(snapshot.quarantine_head))
        return partitions, keys

    def _head(self, before: str) -> str:
        """Return the last erasure that is applied to what named one before."""
        return before

    def _doubtful(self, snapshot: HeldSnapshot) -> dict[str, Partition]:
        """Return partitions whose quarantine was put back from another state than their lake file.

        Their counts cannot be mended: without a digest the next night reads them again.
        """
        head = snapshot.manifest.tombstones
        if head in (snapshot.quarantine_head, self._head(head)):
            return {}
        return {
            f"{source}/{table}/{period}.parquet": replace(partition, digest="")
            for source, tables in snapshot.manifest.tables.items()
            for table, periods in tables.items()
            for period, partition in periods.items()
            if partition.quarantined
        }

    def _stage_lake(
        self,
        snapshot: HeldSnapshot,
        partitions: dict[str, Partition],
        keys: dict[str, set[str]],
        done: AmendedSnapshot,
    ) -> dict[str, LakeFile]:
        staged = hidden(snapshot.lake)
        staged.mkdir(mode=0o755)
        files = dict(snapshot.manifest.files)
        for belonging in self.held.tables.values():
            table = belonging.table
            for path, file in snapshot.files(belonging).items():
                inode = inode_of(file), self.erased.mark(belonging)
                if inode not in self._changes:
                    _check(snapshot, path, file)
                    self._changes[inode] = rewrite_lake_file(
                        file, staged / path, belonging, self.erased
                    )
                    if self._changes[inode] is not None:
                        self._share_again(staged / path, path)
                        self._places[inode] = snapshot.lake / path
                elif self._changes[inode] is not None:
                    link_file(self._places[inode], staged / path)
                change = self._changes[inode]
                before = snapshot.manifest.partition(table.source, table.name, file.stem)
                if change is None or before is None:
                    continue
                partitions[path] = change.applied(partitions.get(path, before), self.kind)
                keys.setdefault(belonging.key_domain, set()).update(change.keys)
                files[path] = describe_file(staged / path)
                done.rows[f"{table.source}.{table.name}"] += change.rows
                done.lake_files += 1
        done.lake_files += self._stage_person_map(snapshot, staged, files)
        self._stage_quality(snapshot, staged, partitions, files)
        _link_rest(snapshot.lake, staged, names=files)
        return files

    def _share_again(self, file: Path, path: str) -> None:
        """Link a file that an amended snapshot already has: a run that was cut off wrote it."""
        twin = self._twins.get((path, sha256_of(file)))
        if twin is not None:
            file.unlink()
            os.link(twin, file)

    def _stage_person_map(
        self, snapshot: HeldSnapshot, staged: Path, files: dict[str, LakeFile]
    ) -> bool:
        if PERSON_MAP not in files:
            return False
        _check(snapshot, PERSON_MAP, snapshot.lake / PERSON_MAP)
        domains = {
            name: [t.key.key_domain or "" for t in self.held.registrations(name)]
            for name in {source for source, _ in self.held.tables}
        }
        is_changed = rewrite_person_map(
            snapshot.lake / PERSON_MAP, staged / PERSON_MAP, domains, self.erased
        )
        if is_changed:
            files[PERSON_MAP] = describe_file(staged / PERSON_MAP)
        return is_changed

    def _stage_quality(
        self,
        snapshot: HeldSnapshot,
        staged: Path,
        partitions: Mapping[str, Partition],
        files: dict[str, LakeFile],
    ) -> None:
        """Write the tables that count what was compared, so that they still add up."""
        if not partitions:
            return
        tables = _with(snapshot.manifest, partitions)
        rows = pq.read_table(snapshot.lake / RECONCILIATION).to_pylist()
        for row in rows:
            counts = tables.get(row["source_name"], {}).get(row["table_name"], {})
            prefix = f"{row['source_name']}/{row['table_name']}"
            files_now = {p: _find(staged, snapshot, prefix, p) for p in counts}
            row.update(_recounted(row, counts, files_now))
        written = {RECONCILIATION: rows, QUARANTINE_TABLE: [*quarantine_rows(tables)]}
        for path, values in written.items():
            schema = self.held.quality[path.split("/")[1]].lake_schema
            write_table(staged / path, pa.Table.from_pylist(values, schema))
            files[path] = describe_file(staged / path)

    def _write_manifest(
        self,
        snapshot: HeldSnapshot,
        partitions: Mapping[str, Partition],
        keys: Mapping[str, set[str]],
        files: Mapping[str, LakeFile],
        done: AmendedSnapshot,
    ) -> None:
        before = snapshot.manifest
        gone = partial(united, keys=keys, tables=self.held.tables.values(), key=snapshot.key)
        manifest = replace(
            self._described(before, gone, is_changed=done.is_changed),
            tables=_with(before, partitions),
            files=dict(sorted(files.items())),
        )
        write_manifest(hidden(snapshot.lake), manifest, snapshot.key)

    @abstractmethod
    def _described(self, before: Manifest, united_with: United, *, is_changed: bool) -> Manifest:
        """Say in a manifest what is done, and add to its digests of the keys that are gone."""

    def _put_in_place(self, snapshot: HeldSnapshot) -> None:
        # Quarantine last: what left it is counted in the lake's manifest.
        places = [snapshot.lake, snapshot.quarantine]
        if snapshot.version is not None:
            places.insert(0, self.held.settings.vault / VERSIONS / snapshot.name)
        for place in places:
            for directory, _, _ in os.walk(hidden(place)):
                sync(Path(directory))
            if place.is_dir():
                replace_directory(hidden(place), place)
            else:
                os.rename(hidden(place), place)
                sync(place.parent)


class ErasureAmender(Amender):
    """Takes the erased out, and names the tombstones that are then applied."""

    def __init__(self, held: Held, erased: Erased, tombstones: Tombstones) -> None:
        super().__init__(held, erased, "erased")
        self._tombstones = tombstones

    def _head(self, before: str) -> str:
        return self._tombstones.head

    def _described(self, before: Manifest, united_with: United, *, is_changed: bool) -> Manifest:
        known = self._tombstones
        after = replace(before, tombstones=known.head, erased_keys=united_with(before.erased_keys))
        if not is_changed:
            return after
        first = known.heads.index(before.tombstones) + 1 if before.tombstones else 0
        new = known.records[first:] or known.records[-1:]
        amended = before.amended or Amended("", 0, ())
        amended = replace(
            amended,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            erasures=amended.erasures + len(new),
            reasons=tuple(sorted({*amended.reasons, *(record.reason for record in new)})),
        )
        return replace(after, amended=amended)


def hidden(place: Path) -> Path:
    """Return the name that a directory is written under; the next run sweeps it away."""
    return place.with_name(f".{place.name}.tmp")


def _check(snapshot: HeldSnapshot, path: str, file: Path) -> None:
    # A file that is not as it was written must not be signed anew.
    if sha256_of(file) != snapshot.manifest.files[path].sha256:
        raise SnapshotError(
            f"The file {path} of the snapshot {snapshot.name} is not as it was written: restore it "
            "from a backup, or remove the snapshot with `scutari retain`, and run `scutari erase "
            "--again`."
        )


def _link_rest(
    old: Path,
    new: Path,
    *,
    gone: Container[str] = (),
    names: Container[str] | None = None,
) -> None:
    """Link every file that was neither written anew nor removed."""
    for file in sorted(old.rglob("*")) if old.is_dir() else ():
        path = str(file.relative_to(old))
        is_wanted = path not in gone and (names is None or path in names)
        if file.is_file() and is_wanted and path != STAMP and not (new / path).exists():
            link_file(file, new / path)


def _find(staged: Path, snapshot: HeldSnapshot, prefix: str, period: str) -> Path:
    path = f"{prefix}/{period}.parquet"
    return staged / path if (staged / path).exists() else snapshot.lake / path


def _with(
    manifest: Manifest, partitions: Mapping[str, Partition]
) -> dict[str, dict[str, dict[str, Partition]]]:
    return {
        source: {
            table: {
                period: partitions.get(f"{source}/{table}/{period}.parquet", partition)
                for period, partition in periods.items()
            }
            for table, periods in tables.items()
        }
        for source, tables in manifest.tables.items()
    }


def _recounted(
    row: Mapping[str, object], partitions: Mapping[str, Partition], files: Mapping[str, Path]
) -> dict[str, int | None]:
    """Return a check's counts from the partitions as they are now; what the source held stays."""
    parts = partitions.values()
    if row["check_code"] == ROW_COUNT:
        return {
            "lake_count": sum(p.rows for p in parts),
            "quarantined_count": sum(p.dropped for p in parts),
            "erased_count": sum(p.erased for p in parts),
            "expired_count": sum(p.expired for p in parts),
        }
    if row["check_code"] == NULL_COUNT:
        name = str(row["column_name"])
        nulls = sum(read_footer(file).nulls.get(name, 0) for file in files.values())
        return {
            "lake_count": nulls - sum(p.emptied.get(name, 0) for p in parts),
            "quarantined_count": sum(p.dropped_nulls.get(name, 0) for p in parts),
            "erased_count": sum(p.erased_nulls.get(name, 0) for p in parts),
            "expired_count": sum(p.expired_nulls.get(name, 0) for p in parts),
        }
    return {"erased_count": None, "expired_count": None}

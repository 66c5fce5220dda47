"""One snapshot: every declared table of every operational database, whole or not at all.

Each database is read in one state. Everything is written under temporary names in three zones
(lake, vault, restricted) and reconciled; only then are the directories renamed and the links
switched, ``lake/current`` last. Whatever happens before that leaves the last good snapshot current,
and the next run wipes what was left lying.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from extract.code_tables import code_tables, in_order, table_codes
from extract.codes import CodeSets, code_sets_digest, load_code_sets
from extract.contract_files import load_contracts
from extract.contracts import SourceContract, TableContract, operational_contracts
from extract.convert import RULES_VERSION, Converter
from extract.erasure.state import require_applied_to_zones, stamp_quarantine
from extract.erasure.tombstones import Tombstones, read_tombstones
from extract.expiry.policy import limits
from extract.expiry.source import Dropping, dropping
from extract.identity.epochs import TokenKeys, end_rotation
from extract.identity.held_tokens import HeldTokens, holds_tokens, token_maps
from extract.identity.key_provider import load_provider
from extract.identity.keyring import Keyring
from extract.identity.matching.decisions import read_decisions, standing
from extract.identity.matching.grouping import REVIEW
from extract.identity.opening import VERSIONS, open_vault
from extract.identity.token_map import MAPS, retokeniser
from extract.identity.tokens import derive_key, key_id
from extract.identity.vault import CURRENT as VAULT_CURRENT
from extract.identity.vault import Linked, link_registrations, version_to_go_on_from
from extract.identity.version import NewVersion, open_version
from extract.lake import (
    CURRENT,
    MANIFEST,
    LakeFile,
    Manifest,
    Partition,
    Quarantined,
    current_directory,
    read_manifest,
    sha256_of,
    switch,
    write_manifest,
)
from extract.partitions import describe_file, link_file, write_partition, write_table
from extract.reconcile import Check, Outcome, quarantine_rows, read_footer, reconcile
from extract.reference import reference_table_apart, reference_versions
from extract.refusals import check_tables, configured_sources, refuse_unequal
from extract.report import SnapshotReport, report_of, table_line
from extract.sources.base import WHOLE_TABLE, PartitionProfile, Source
from extract.sources.open import open_source
from extract.zones import QUARANTINE, explained, installation_keys, locked, new_id, sweep
from governance.audit.events import about
from governance.audit.log import audited
from governance.errors import SettingsError, SourceError
from governance.files import sync
from governance.settings import PROJECT_ROOT, SETTINGS_FILE, Settings

Progress = Callable[[str], None]


def take_snapshot(
    settings: Settings, *, full: bool = False, progress: Progress = lambda _: None
) -> SnapshotReport:
    """Snapshot every operational database and make the result current.

    Args:
        settings: the installation.
        full: read every partition again, and look at no earlier snapshot.
        progress: is told about every table.

    Raises:
        AuditError: the audit log cannot be written.
        ContractError: the dbt source files do not say all.
        ErasureError: persons who were erased stand in what is there.
        KeyFileError: the token key is missing, open to others, or another than before.
        ReconciliationError: source and lake do not add up.
        SettingsError: a source of the settings has no contract.
        SnapshotError: another snapshot is running, or the disk is full.
        SourceError: a database is out of reach or is not as declared.
    """
    # Arrow's own allocators keep what was freed: a third more memory, and no time won.
    pa.set_memory_pool(pa.system_memory_pool())
    contracts = load_contracts(PROJECT_ROOT)
    operational = configured_sources(settings, contracts)
    with (
        locked(settings),
        audited(settings, "snapshot", is_full=full) as action,
        explained(settings),
    ):
        sweep(settings)
        keys = installation_keys(settings)
        keyring = open_vault(settings.vault, load_provider(settings), progress)
        require_applied_to_zones(settings, keyring)
        held = (keys, keyring, read_tombstones(settings))
        run = _Run(settings, contracts, operational, *held, full=full, progress=progress)
        try:
            report = run.take()
        finally:
            sweep(settings)
        action.add(
            snapshot_id=report.snapshot_id,
            tables=report.tables,
            rows=about(report.rows),
            manifest_sha256=sha256_of(settings.lake / report.snapshot_id / MANIFEST),
        )
    return report


@dataclass
class _Run:
    """One snapshot while it is being taken."""

    settings: Settings
    contracts: dict[str, SourceContract]
    operational: dict[str, SourceContract]
    keys: TokenKeys
    keyring: Keyring
    tombstones: Tombstones | None
    full: bool
    progress: Progress
    tables: dict[str, dict[str, dict[str, Partition]]] = field(default_factory=dict)
    files: dict[str, LakeFile] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    linked: int = 0

    def __post_init__(self) -> None:
        self.snapshot_id = new_id(self.settings)
        self.key = self.keys.now.secret
        self.spill = self.settings.restricted / "spill" / "extract"
        name = f".{self.snapshot_id}.tmp"
        self.lake = self.settings.lake / name
        head = self.tombstones.head if self.tombstones else ""
        self.vault = NewVersion(self.settings.vault / VERSIONS / name, self.keyring, head)
        self.quarantine = self.settings.restricted / QUARANTINE / name
        self.review = self.settings.restricted / REVIEW / name
        for folder in (self.lake, self.vault.directory, self.quarantine, self.review):
            folder.mkdir(mode=0o755 if folder == self.lake else 0o700, parents=True)
        stamp_quarantine(self.quarantine, head)
        directory = None if self.full else current_directory(self.settings.lake)
        self.previous_lake = directory
        known = self.keys.before or self.keys.now
        self.previous = read_manifest(directory, known.secret) if directory else None
        self._refuse_lost_source()
        self.previous_version = version_to_go_on_from(self.settings, self.keyring)
        # A kill between two links can leave the crosswalk one snapshot ahead of the lake.
        beside = self.settings.vault / VERSIONS / directory.name if directory else None
        self.linkable = open_version(beside, self.keyring) if beside and beside.is_dir() else None
        # Under a new key no digest fits: every partition is read again, and every token is new.
        declared = operational_contracts(self.contracts).values()
        self.retokeniser = retokeniser(self.keys, declared, self.spill)
        self.tokeniser = self.retokeniser or self.keys.now.tokeniser()
        self.dropping = self._dropping()
        self.references: dict[str, pa.Table] = {}
        self.codes: CodeSets = load_code_sets(PROJECT_ROOT, self._all_tables(), self._reference)
        self.taken_at = datetime.now(UTC)

    def take(self) -> SnapshotReport:
        for name, contract in in_order(self.settings, self.operational):
            with open_source(self.settings.sources[name]) as opened:
                source = self._with_tokens_of_now(opened, contract)
                self.taken_at = min(self.taken_at, source.taken_at)
                check_tables(source, contract)
                self._read_code_tables(source, contract)
                self.dropping.look(source, contract)
                for table in contract.tables.values():
                    self._extract(source, table)
        refuse_unequal(self.checks)
        people = self._link_persons()
        self._write_reference()
        self._write_quality()
        self.vault.close(self.snapshot_id)
        self._write_token_map()
        write_manifest(self.lake, self._manifest(), self.key)
        self._put_in_force()
        end_rotation(self.settings)
        tables = {name: self.tables[name] for name in self.operational}
        return report_of(self.snapshot_id, tables, people, tuple(self.checks), linked=self.linked)

    def _with_tokens_of_now(self, source: Source, contract: SourceContract) -> Source:
        if not holds_tokens(contract):
            return source
        maps = token_maps(self.settings, self.retokeniser, self.previous_version)
        return HeldTokens(source, maps)

    def _dropping(self) -> Dropping:
        ordered = in_order(self.settings, self.operational)
        tables = [table for _, contract in ordered for table in contract.tables.values()]
        return dropping(self.settings, tables, self.tombstones, self.keys.now)

    def _refuse_lost_source(self) -> None:
        known = set(self.previous.tables) if self.previous else set()
        lost = sorted((known & set(operational_contracts(self.contracts))) - set(self.operational))
        if lost:
            raise SettingsError(
                f"{self.settings.home / SETTINGS_FILE} no longer names the source {lost[0]}, which "
                "the last snapshot holds: name it again, or run `scutari snapshot --full` to go on "
                "without it."
            )

    def _all_tables(self) -> list[TableContract]:
        return [t for source in self.operational.values() for t in source.tables.values()]

    def _read_code_tables(self, source: Source, contract: SourceContract) -> None:
        for name, table in code_tables(self._all_tables()):
            if name == source.name:
                self.codes[f"{name}.{table}"] = table_codes(source, contract.tables[table])

    def _extract(self, source: Source, table: TableContract) -> None:
        profile = source.profile(table)
        if profile.duplicate_keys:
            raise SourceError(
                f"Source {source.name}: {profile.duplicate_keys:,} values of "
                f"{table.name}.{table.primary_key} stand in more than one row, but the contract "
                f"at {table.where} calls it the primary key. Correct the database or the contract."
            )
        converter = self.dropping.converter(table, self.codes, self.tokeniser)
        codes = code_sets_digest(table, self.codes)

        def one(part: PartitionProfile) -> Outcome:
            digest = self._digest(table, part, codes)
            return self._linked(table, part, digest) or self._written(
                source, table, part, digest, converter
            )

        with ThreadPoolExecutor(source.parallelism) as pool:
            outcomes = list(pool.map(one, profile.partitions or (_empty(table),)))
        periods = {o.profile.period: o.partition for o in outcomes}
        self.tables.setdefault(table.source, {})[table.name] = periods
        self.linked += sum(o.tally is None for o in outcomes)
        self.checks += reconcile(table, outcomes, self.key)
        self.progress(table_line(table, outcomes))

    def _digest(self, table: TableContract, part: PartitionProfile, codes: str) -> str:
        body = [RULES_VERSION, table.contract_hash, codes, asdict(part)]
        body += self.dropping.state(table, part.period)
        text = json.dumps(body, default=str, sort_keys=True)
        return hmac.digest(derive_key(self.key, "partition"), text.encode(), "sha256").hex()[:32]

    def _linked(self, table: TableContract, part: PartitionProfile, digest: str) -> Outcome | None:
        """Link an unchanged partition's files from the previous snapshot, if all are sound."""
        if self.previous is None or self.previous_lake is None:
            return None
        before = self.previous.partition(table.source, table.name, part.period)
        path = _path(table, part.period)
        known = self.previous.files.get(path)
        if before is None or known is None or before.digest != digest:
            return None
        if not self.dropping.may_link(table, self.previous):
            return None
        pairs = [(self.previous_lake / path, self.lake / path)]
        has_identifiers = bool(table.vault_columns and part.row_count)
        if has_identifiers and (self.linkable is None or path not in self.linkable.files):
            return None
        if before.quarantined:
            kept = self.settings.restricted / QUARANTINE / self.previous.snapshot_id
            pairs.append((kept / path, self.quarantine / path))
        # A file that has changed since would pass its fault on to every later snapshot.
        if not all(old.is_file() for old, _ in pairs) or sha256_of(pairs[0][0]) != known.sha256:
            return None
        for old, new in pairs:
            link_file(old, new)
        if has_identifiers and self.linkable is not None:
            self.vault.link(path, self.linkable)
        self.files[path] = known
        return Outcome(part, before, read_footer(self.lake / path), None)

    def _written(
        self,
        source: Source,
        table: TableContract,
        part: PartitionProfile,
        digest: str,
        converter: Converter,
    ) -> Outcome:
        path = _path(table, part.period)
        seal = self.vault.begin(path)
        tally = write_partition(
            table,
            converter,
            source.read(table, part.period),
            lake=self.lake / path,
            vault=self.vault.directory / path,
            vault_encryption=seal.properties,
            quarantine=self.quarantine / path,
        )
        self.vault.finish(seal)
        self.files[path] = describe_file(self.lake / path)
        partition = Partition(
            rows=tally.rows,
            dropped=tally.dropped,
            digest=digest,
            quarantined=tuple(
                Quarantined(column, reason, is_dropped, count)
                for (column, reason, is_dropped), count in sorted(tally.quarantined.items())
            ),
            emptied={name: n for name, n in sorted(tally.emptied.items()) if n},
            dropped_nulls={name: n for name, n in sorted(tally.dropped_nulls.items()) if n},
            erased=tally.erased,
            erased_nulls=dict(sorted(tally.erased_nulls.items())),
            expired=tally.expired,
            expired_nulls=dict(sorted(tally.expired_nulls.items())),
        )
        return Outcome(part, partition, read_footer(self.lake / path), tally)

    def _link_persons(self) -> Linked:
        path = f"identity/person_map/{WHOLE_TABLE}.parquet"
        people = link_registrations(
            self.vault,
            [table for table in self._all_tables() if table.is_registration],
            self.previous_version,
            snapshot_id=self.snapshot_id,
            person_map=self.lake / path,
            spill=self.spill,
            review=self.review,
            method=self.settings.matching,
            standing=standing(read_decisions(self.settings.vault, self.keyring)),
            renewed=self.retokeniser.crosswalk if self.retokeniser else None,
        )
        sync(self.lake / path)
        self.files[path] = describe_file(self.lake / path)
        self.progress(f"persons: {people}")
        return people

    def _write_token_map(self) -> None:
        if self.retokeniser is not None:
            path = self.settings.restricted / MAPS / f".{self.snapshot_id}.new"
            last = current_directory(self.settings.lake)
            self.progress(self.retokeniser.write(path, self.previous_version, last))

    def _reference(self, name: str) -> pa.Table:
        """Return a code list: from the previous snapshot, unless its package has changed.

        The package of ICD-10-CM takes seconds to load: only a first snapshot needs it.
        """
        if name not in self.references:
            unchanged = self._unchanged_reference(name)
            table = pq.read_table(unchanged) if unchanged else reference_table_apart(name)
            self.references[name] = table
        return self.references[name]

    def _reference_digest(self, name: str) -> str:
        contract = self.contracts["reference"].tables[name]
        return f"{reference_versions()[name]} {contract.contract_hash}"

    def _unchanged_reference(self, name: str) -> Path | None:
        """Return the previous snapshot's file of a code list if it is sound and still holds."""
        if self.previous is None or self.previous_lake is None:
            return None
        path = _path(self.contracts["reference"].tables[name], WHOLE_TABLE)
        before = self.previous.partition("reference", name, WHOLE_TABLE)
        known, file = self.previous.files.get(path), self.previous_lake / path
        if before is None or known is None or before.digest != self._reference_digest(name):
            return None
        return file if file.is_file() and sha256_of(file) == known.sha256 else None

    def _write_reference(self) -> None:
        tables = self.contracts["reference"].tables
        self.tables["reference"] = {}
        for name in sorted(reference_versions()):
            table, path = tables[name], _path(tables[name], WHOLE_TABLE)
            unchanged = self._unchanged_reference(name)
            if unchanged is not None:
                link_file(unchanged, self.lake / path)
            else:
                write_table(self.lake / path, self._reference(name).cast(table.lake_schema))
            self.files[path] = describe_file(self.lake / path)
            rows, digest = self.files[path].rows, self._reference_digest(name)
            self.tables["reference"][name] = {WHOLE_TABLE: Partition(rows, 0, digest)}

    def _write_quality(self) -> None:
        snapshot = {
            "snapshot_id": self.snapshot_id,
            "taken_at": self.taken_at,
            "is_synthetic": self.settings.is_synthetic,
            "contract_hash": self._contract_hash(),
        }
        reconciliation = [asdict(check) | {"check_key": check.check_key} for check in self.checks]
        rows = {"snapshots": [snapshot], "reconciliation": reconciliation}
        rows["quarantine"] = list(quarantine_rows(self.tables))
        for name, values in rows.items():
            table = self.contracts["quality"].tables[name]
            path = _path(table, WHOLE_TABLE)
            write_table(self.lake / path, pa.Table.from_pylist(values, table.lake_schema))
            self.files[path] = describe_file(self.lake / path)

    def _contract_hash(self) -> str:
        hashes = sorted(table.contract_hash for table in self._all_tables())
        return hashlib.sha256("".join(hashes).encode()).hexdigest()[:32]

    def _manifest(self) -> Manifest:
        return Manifest(
            snapshot_id=self.snapshot_id,
            taken_at=self.taken_at.isoformat(timespec="seconds"),
            is_synthetic=self.settings.is_synthetic,
            contract_hash=self._contract_hash(),
            key_id=key_id(self.key),
            token_epoch=self.keys.now.name,
            tables=self.tables,
            files=dict(sorted(self.files.items())),
            tombstones=self.tombstones.head if self.tombstones else "",
            erased_keys=self.dropping.erased_keys,
            expired_keys=self.dropping.expired_keys,
            expired_before=limits(self.dropping.rules),
        )

    def _put_in_force(self) -> None:
        if self.retokeniser is not None:
            maps = self.settings.restricted / MAPS
            os.replace(maps / f".{self.snapshot_id}.new", maps / f"{self.snapshot_id}.parquet")
            sync(maps)
        for folder in (self.quarantine, self.review, self.vault.directory, self.lake):
            for directory, _, _ in os.walk(folder):
                sync(Path(directory))
            os.rename(folder, folder.with_name(self.snapshot_id))
            sync(folder.parent)
        switch(self.settings.vault / VAULT_CURRENT, f"{VERSIONS}/{self.snapshot_id}")
        switch(self.settings.lake / CURRENT, self.snapshot_id)


def _path(table: TableContract, period: str) -> str:
    return f"{table.source}/{table.name}/{period}.parquet"


def _empty(table: TableContract) -> PartitionProfile:
    """What is said of a table with partitions and no rows: one file, so that it has a schema."""
    return PartitionProfile(
        period="none",
        row_count=0,
        key_minimum=None,
        key_maximum=None,
        null_counts=dict.fromkeys((c.name for c in table.lake_columns), 0),
        sums=dict.fromkeys((c.name for c in table.lake_columns if c.is_summed), 0),
    )

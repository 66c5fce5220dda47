"""The vault, token maps and review lists without the erased."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from extract.erasure.belonging import Belonging
from extract.erasure.find import Erased
from extract.erasure.held import Held, Inode, inode_of, one_array
from extract.erasure.rewrite import write_rows
from extract.erasure.tombstones import PERSON_DOMAIN, is_in
from extract.identity.vault import CROSSWALK
from extract.identity.version import NewVersion, SealedFile, Version
from extract.partitions import ParquetFile
from extract.values import Mask
from governance.files import write_whole

_TOKEN = re.compile(r"\b[0-9a-f]{20}\b")
Gone = Callable[[pa.RecordBatch], Mask]


class VaultAmender:
    """Writes versions anew under hidden names; a file that many versions share is written once."""

    def __init__(self, held: Held) -> None:
        self._held, self._erased = held, Erased()
        self._written: dict[tuple[Inode, str], tuple[Path, SealedFile] | None] = {}

    def stage(self, version: Version, name: str, erased: Erased, head: str) -> int:
        """Write a version beside the old one; return how many files lost rows.

        Args:
            version: the old one.
            name: of its snapshot.
            erased: what goes.
            head: the last erasure that is then applied to it.
        """
        self._erased = erased
        new = NewVersion(version.directory.with_name(f".{name}.tmp"), self._held.keyring, head)
        new.directory.mkdir(mode=0o700)
        changed = 0
        for path in sorted(version.files):
            belonging = self._belonging(path)
            inode = inode_of(version.directory / path), erased.mark(belonging) if belonging else ""
            if inode not in self._written:
                self._written[inode] = self._rewritten(version, new, path)
            done = self._written[inode]
            if done is None:
                new.link(path, version)
                continue
            changed += 1
            place, sealed = done
            if path not in new.files:
                (new.directory / path).parent.mkdir(parents=True, exist_ok=True)
                os.link(place, new.directory / path)
                new.files[path] = sealed
        new.close(name)
        return changed

    def _rewritten(
        self, version: Version, new: NewVersion, path: str
    ) -> tuple[Path, SealedFile] | None:
        gone = self._gone(path)
        if not any(gone(batch).any() for batch in version.batches(path)):
            return None
        seal = new.begin(path)
        file: ParquetFile | None = None
        for batch in version.batches(path):
            if file is None:
                target = new.directory / path
                file = ParquetFile(target, batch.schema, encryption=seal.properties)
            file.write(batch.filter(pa.array(~gone(batch))))
        if file is not None:
            file.close()
        new.finish(seal)
        return version.directory / path, new.files[path]

    def _belonging(self, path: str) -> Belonging | None:
        source, _, rest = path.partition("/")
        return self._held.tables.get((source, rest.partition("/")[0]))

    def _gone(self, path: str) -> Gone:
        if path == CROSSWALK:
            return self._gone_from_crosswalk
        belonging = self._belonging(path)
        if belonging is not None:
            domain = belonging.key_domain
            return lambda batch: self._erased.is_in(domain, batch.column("token"))
        declared = {source for source, _ in self._held.tables}
        if path.split("/", maxsplit=1)[0] in declared:
            return lambda batch: np.zeros(batch.num_rows, dtype=np.bool_)  # of an organisation
        return lambda batch: names_erased(batch, self._erased)

    def _gone_from_crosswalk(self, batch: pa.RecordBatch) -> Mask:
        gone = np.zeros(batch.num_rows, dtype=np.bool_)
        for source in pc.unique(batch.column("source_name")).to_pylist():
            own = pc.equal(batch.column("source_name"), source).to_numpy(zero_copy_only=False)
            for table in self._held.registrations(source):
                domain = table.key.key_domain or ""
                gone |= own & self._erased.is_in(domain, batch.column("registration_key"))
        return gone


def names_erased(batch: pa.RecordBatch, erased: Erased) -> Mask:
    """Return which rows name an erased token or person in any of their texts."""
    known = erased.all
    gone = np.zeros(batch.num_rows, dtype=np.bool_)
    for column in batch.columns:
        if pa.types.is_string(column.type):
            gone |= is_in(column, known)
    return gone


def amend_token_maps(held: Held, erased: Erased) -> int:
    """Take the erased out of the maps from old to new tokens; return how many pairs went."""
    return sum(_amend_map(path, erased) for path in held.token_maps)


def amend_review_files(held: Held, erased: Erased) -> int:
    """Take the erased out of what matching keeps for its reviewers; return how many rows went."""
    known, removed = set(erased.all.to_pylist()), 0
    for path in held.review_files:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        left = [line for line in lines if known.isdisjoint(_TOKEN.findall(line))]
        if len(left) < len(lines):
            write_whole(path, "".join(left).encode(), 0o600)
            removed += len(lines) - len(left)
    return removed


def _gone_from_map(pairs: pa.RecordBatch, erased: Erased) -> Mask:
    gone = np.zeros(pairs.num_rows, dtype=np.bool_)
    for domain in set(erased.tokens) - {PERSON_DOMAIN}:
        own = pc.equal(pairs.column("key_domain"), domain).to_numpy(zero_copy_only=False)
        for name in ("old_token", "new_token"):
            gone |= own & erased.is_in(domain, pairs.column(name))
    return gone


def _amend_map(path: Path, erased: Erased) -> int:
    table = pq.read_table(path)
    columns = [one_array(column) for column in table.columns]
    mask = _gone_from_map(pa.RecordBatch.from_arrays(columns, schema=table.schema), erased)
    if not mask.any():
        return 0
    # Hidden, with the ending that the next snapshot sweeps away.
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    os.close(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    write_rows(new, table.filter(pa.array(~mask)))
    os.replace(new, path)
    return int(mask.sum())

"""The code sets that code columns are held to."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pyarrow as pa

from extract.contracts import CODE_SYSTEM_FILES, MORE_CODE_SYSTEMS, TableContract
from extract.reference import reference_table
from governance.errors import ContractError

CodeSets = dict[str, pa.Array]


def load_code_sets(
    project_root: Path,
    tables: Iterable[TableContract],
    reference: Callable[[str], pa.Table] = reference_table,
) -> CodeSets:
    """Return the codes of every listed system that the tables name; ICD codes without their dot.

    A system that is a table of an operational database is not listed: `table_codes` reads it.

    Args:
        project_root: the directory that holds ``seeds/``.
        tables: the contracts.
        reference: where lists of the reference zone come from.

    Raises:
        ContractError: a code file has no column ``code``, or no row.
    """
    columns = [column for table in tables for column in table.columns]
    systems = {c.code_system for c in columns if c.code_system and c.code_table is None}
    return {system: _codes(project_root, system, reference) for system in sorted(systems)}


def code_sets_digest(table: TableContract, codes: CodeSets) -> str:
    """Return a digest of all codes that decide what a table's lake files hold."""
    digest = hashlib.sha256()
    for column in table.columns:
        if column.code_system is not None:
            values = codes[column.code_system].to_pylist()
            digest.update(f"{column.code_system}|{'|'.join(sorted(values))}\n".encode())
    return digest.hexdigest()


def _codes(project_root: Path, system: str, reference: Callable[[str], pa.Table]) -> pa.Array:
    if system == "icd10cm":
        return reference(system)["code"].combine_chunks()
    path = project_root / MORE_CODE_SYSTEMS.get(system, CODE_SYSTEM_FILES) / f"{system}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        codes = [row.get("code") for row in csv.DictReader(file)]
    if not codes or not all(codes):
        raise ContractError(f"The code file {path} has no column code, or a row without one.")
    return pa.array(codes, pa.string())

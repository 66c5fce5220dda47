"""Quarantine without the erased: values and whole rows that did not fit, as the source had them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from extract.convert import QUARANTINE_SCHEMA
from extract.erasure.belonging import Belonging
from extract.erasure.find import Erased, one_row
from extract.erasure.held import QuarantinedRow, quarantined_rows
from extract.erasure.rewrite import Change, write_rows
from extract.identity.tokens import Tokeniser


def rewrite_quarantine(
    file: Path, target: Path, belonging: Belonging, tokenisers: Sequence[Tokeniser], erased: Erased
) -> Change | None:
    """Write a quarantine file without the erased; None where it has nothing of them.

    A file of which nothing is left is not written.
    """
    table = pq.read_table(file)
    items = table.to_pylist()
    gone: list[QuarantinedRow] = []
    is_changed = False
    for row in quarantined_rows(table, belonging, tokenisers):
        if _is_gone(row, belonging, erased):
            gone.append(row)
        elif row.row is not None and (emptied := _references(row, belonging, erased)):
            is_changed = True
            items[row.number] = _emptied(items[row.number], row, emptied)
    if not gone and not is_changed:
        return None
    numbers = {row.number for row in gone}
    left = [item for number, item in enumerate(items) if number not in numbers]
    if left:
        write_rows(target, pa.Table.from_pylist(left, QUARANTINE_SCHEMA))
        target.chmod(0o600)
    return _change(gone, belonging, items=len(items) - len(left) + is_changed)


def _is_gone(row: QuarantinedRow, belonging: Belonging, erased: Erased) -> bool:
    if row.row is not None:
        return erased.owns(belonging, row)
    key = one_row(row.keys[0])[belonging.table.primary_key]
    return bool(erased.is_in(belonging.key_domain, key)[0])


def _references(row: QuarantinedRow, belonging: Belonging, erased: Erased) -> list[str]:
    found = (belonging.referring(one_row(keys), erased.is_in) for keys in row.keys)
    return sorted({name for names in found for name in names})


def _emptied(item: dict[str, Any], row: QuarantinedRow, names: list[str]) -> dict[str, Any]:
    values = {**(row.row or {}), **dict.fromkeys(names)}
    raw_value = None if row.column in names else item["raw_value"]
    return item | {"raw_row": json.dumps(values, ensure_ascii=False), "raw_value": raw_value}


def _change(gone: list[QuarantinedRow], belonging: Belonging, items: int) -> Change:
    """Count what left; several values of one row are several items."""
    key = belonging.table.primary_key
    rows = _rows(gone, key)
    places = {(row.source_key, row.column) for row in gone if row.row is None}
    lake = {column.name for column in belonging.table.lake_columns}
    dropped_nulls = Counter(n for row in rows for n in lake if (row.row or {}).get(n) is None)
    # What was emptied in the lake is a null there, and none in the source.
    emptied: Counter[str] = Counter()
    emptied.subtract(column for _, column in places if column in lake)
    nulls = Counter(dropped_nulls)
    nulls.update(emptied)
    return Change(
        rows=len(rows),
        keys=frozenset(token for row in rows if (token := row.keys[0][key]) is not None),
        nulls=nulls,
        emptied=emptied,
        dropped=len(rows),
        dropped_nulls=dropped_nulls,
        quarantined=Counter((row.column, row.reason, row.is_row_dropped) for row in gone),
        items=items,
    )


def _rows(gone: list[QuarantinedRow], key: str) -> list[QuarantinedRow]:
    """Return each whole row once, though each of its faults is an item.

    Only a row whose key is at fault can look the same as another; it has one item for its key.
    """
    whole = [row for row in gone if row.row is not None]
    faulty = [row for row in whole if row.column == key]
    seen = {json.dumps(row.row) for row in faulty}
    others = {json.dumps(row.row): row for row in whole}
    return [*faulty, *(row for text, row in others.items() if text not in seen)]

"""Reconciliation: what the source holds is in the lake, quarantined, erased or expired, no more.

The source's side is counted by the database itself in the state that was read. The lake's side is
counted from the footers of the written files (rows, nulls) and from the converted values (key
range, sums). A key range and a sum are compared exactly and kept only as keyed digests: the least
record number or the total paid in a small month says something about a patient.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pyarrow.parquet as pq

from extract.contracts import TableContract
from extract.convert import Tally
from extract.identity.tokens import derive_key
from extract.lake import Partition
from extract.sources.base import PartitionProfile

ROW_COUNT = "row_count"
KEY_RANGE = "key_range"
NULL_COUNT = "null_count"
SUM = "sum"


@dataclass(frozen=True)
class Footer:
    """What a Parquet file says of itself: rows, and nulls per column."""

    rows: int
    nulls: dict[str, int]


@dataclass(frozen=True)
class Outcome:
    """One partition on both sides.

    ``tally`` is None where the file was linked: its values were compared when it was written, and
    the database says that they have not changed.
    """

    profile: PartitionProfile
    partition: Partition
    footer: Footer
    tally: Tally | None


@dataclass(frozen=True)
class Check:
    """One comparison over one table, as kept in ``quality.reconciliation``."""

    source_name: str
    table_name: str
    column_name: str | None
    check_code: str
    source_count: int | None
    lake_count: int | None
    quarantined_count: int | None
    erased_count: int | None
    expired_count: int | None
    is_equal: bool
    digest: str | None

    @property
    def check_key(self) -> str:
        """Source, table, column and check joined by |."""
        parts = (self.source_name, self.table_name, self.column_name or "", self.check_code)
        return "|".join(parts)


def read_footer(path: Path) -> Footer:
    """Count a file's rows and nulls from its footer."""
    metadata = pq.read_metadata(path)
    nulls: dict[str, int] = {}
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            column = metadata.row_group(group).column(index)
            nulls[column.path_in_schema] = (
                nulls.get(column.path_in_schema, 0) + column.statistics.null_count
            )
    return Footer(metadata.num_rows, nulls)


def reconcile(table: TableContract, outcomes: Iterable[Outcome], key: bytes) -> list[Check]:
    """Compare both sides of every partition; one check per table, and per column where it has one.

    Args:
        table: the contract.
        outcomes: every partition.
        key: the installation's key, for the digests.
    """
    done = list(outcomes)
    secret = derive_key(key, "reconciliation")

    def digest(value: object) -> str:
        return hmac.digest(secret, str(value).encode(), "sha256").hex()[:32]

    checks = [_row_count(table, done), _key_range(table, done, digest)]
    for column in table.lake_columns:
        checks.append(_null_count(table, column.name, done))
        if column.is_summed:
            checks.append(_sum(table, column.name, done, digest))
    return checks


def _row_count(table: TableContract, done: list[Outcome]) -> Check:
    equal = all(
        o.profile.row_count
        == o.footer.rows + o.partition.dropped + o.partition.erased + o.partition.expired
        and o.footer.rows == o.partition.rows
        for o in done
    )
    return Check(
        table.source,
        table.name,
        None,
        ROW_COUNT,
        sum(o.profile.row_count for o in done),
        sum(o.footer.rows for o in done),
        sum(o.partition.dropped for o in done),
        sum(o.partition.erased for o in done),
        sum(o.partition.expired for o in done),
        equal,
        None,
    )


def _key_range(table: TableContract, done: list[Outcome], digest: Callable[[object], str]) -> Check:
    equal = all(
        (o.profile.key_minimum, o.profile.key_maximum) == (o.tally.key_minimum, o.tally.key_maximum)
        for o in done
        if o.tally is not None
    )
    ranges = [(o.profile.period, o.profile.key_minimum, o.profile.key_maximum) for o in done]
    return Check(
        table.source,
        table.name,
        table.primary_key,
        KEY_RANGE,
        None,
        None,
        None,
        None,
        None,
        equal,
        digest(ranges),
    )


def _null_count(table: TableContract, name: str, done: list[Outcome]) -> Check:
    source = lake = quarantined = erased = expired = 0
    equal = True
    for o in done:
        # A value that was set aside left a null in the lake which the source does not have.
        stayed = o.footer.nulls.get(name, 0) - o.partition.emptied.get(name, 0)
        dropped = o.partition.dropped_nulls.get(name, 0)
        gone = o.partition.erased_nulls.get(name, 0)
        old = o.partition.expired_nulls.get(name, 0)
        equal = equal and o.profile.null_counts[name] == stayed + dropped + gone + old
        source += o.profile.null_counts[name]
        lake += stayed
        quarantined += dropped
        erased += gone
        expired += old
    counts = (source, lake, quarantined, erased, expired)
    return Check(table.source, table.name, name, NULL_COUNT, *counts, equal, None)


def _sum(
    table: TableContract, name: str, done: list[Outcome], digest: Callable[[object], str]
) -> Check:
    equal = all(
        o.profile.sums[name] == o.tally.sums.get(name, Decimal(0))
        for o in done
        if o.tally is not None
    )
    sums = [(o.profile.period, str(Decimal(o.profile.sums[name]).normalize())) for o in done]
    nothing = (None, None, None, None, None)
    return Check(table.source, table.name, name, SUM, *nothing, equal, digest(sums))


def quarantine_rows(
    tables: dict[str, dict[str, dict[str, Partition]]],
) -> Iterator[dict[str, object]]:
    """Yield how many values of each column were quarantined, and why: rows of the quality table."""
    counts: dict[tuple[str, str, str, str], list[int]] = {}
    for source, by_table in tables.items():
        for table, periods in by_table.items():
            for partition in periods.values():
                for item in partition.quarantined:
                    key = (source, table, item.column, item.reason)
                    count = counts.setdefault(key, [0, 0])
                    count[0] += item.rows
                    count[1] += item.rows if item.is_row_dropped else 0
    for (source, table, column, reason), (rows, dropped) in sorted(counts.items()):
        yield {
            "quarantine_key": f"{source}|{table}|{column}|{reason}",
            "source_name": source,
            "table_name": table,
            "column_name": column,
            "reason_code": reason,
            "is_row_dropped": dropped > 0,
            "row_count": rows,
        }

"""What a snapshot says of itself when it is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from extract.contracts import TableContract
from extract.identity.vault import Linked
from extract.lake import Partition
from extract.reconcile import ROW_COUNT, Check, Outcome


@dataclass(frozen=True)
class SnapshotReport:
    """What one snapshot holds, and how it compares with its sources."""

    snapshot_id: str
    tables: int
    rows: int
    quarantined_values: int
    quarantined_rows: int
    partitions: int
    linked_partitions: int
    people: Linked
    checks: tuple[Check, ...]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"snapshot {self.snapshot_id}: {self.rows:,} rows of {self.tables} tables; "
                f"{self.quarantined_values:,} values in quarantine, {self.quarantined_rows:,} of "
                f"them with their row; {self.linked_partitions} of {self.partitions} partitions "
                f"unchanged; {self.people.registrations:,} registrations are "
                f"{self.people.persons:,} persons",
                *_reconciliation_lines(self.checks),
            ]
        )


def report_of(
    snapshot_id: str,
    tables: Mapping[str, Mapping[str, Mapping[str, Partition]]],
    people: Linked,
    checks: tuple[Check, ...],
    *,
    linked: int,
) -> SnapshotReport:
    """Return the report on the operational tables of a snapshot, by source, table and period."""
    partitions = [
        partition
        for by_table in tables.values()
        for periods in by_table.values()
        for partition in periods.values()
    ]
    values = [item for partition in partitions for item in partition.quarantined]
    return SnapshotReport(
        snapshot_id=snapshot_id,
        # A table without a row has a partition, too.
        tables=sum(len(by_table) for by_table in tables.values()),
        rows=sum(partition.rows for partition in partitions),
        quarantined_values=sum(item.rows for item in values),
        quarantined_rows=sum(partition.dropped for partition in partitions),
        partitions=len(partitions),
        linked_partitions=linked,
        people=people,
        checks=checks,
    )


def table_line(table: TableContract, outcomes: list[Outcome]) -> str:
    """Return one table's line of progress."""
    rows = sum(o.footer.rows for o in outcomes)
    kept_out = sum(item.rows for o in outcomes for item in o.partition.quarantined)
    linked = sum(o.tally is None for o in outcomes)
    parts = [f"{table.source}.{table.name}: {rows:,} rows"]
    if kept_out:
        parts.append(f"{kept_out:,} values in quarantine")
    if linked:
        parts.append(f"{linked} of {len(outcomes)} partitions unchanged")
    return ", ".join(parts)


def _reconciliation_lines(checks: tuple[Check, ...]) -> Iterator[str]:
    heads = ("table", "source rows", "lake rows", "quarantine", "erased", "expired", "checks equal")
    rows: list[tuple[str, ...]] = []
    for check in checks:
        if check.check_code != ROW_COUNT:
            continue
        own = [
            c
            for c in checks
            if (c.source_name, c.table_name) == (check.source_name, check.table_name)
        ]
        counts = (
            check.source_count,
            check.lake_count,
            check.quarantined_count,
            check.erased_count,
            check.expired_count,
        )
        equal = f"{sum(c.is_equal for c in own)} of {len(own)}"
        name = f"{check.source_name}.{check.table_name}"
        rows.append((name, *(f"{count:,}" for count in counts), equal))
    widths = [max(len(row[i]) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, *rows]:
        first = row[0].ljust(widths[0])
        rest = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
        yield "  " + "  ".join([first, *rest])

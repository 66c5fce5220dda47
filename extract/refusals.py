"""Why a snapshot is refused: the database is not as declared, or the lake does not add up."""

from __future__ import annotations

from extract.contracts import SourceContract
from extract.reconcile import Check
from extract.sources.base import Source
from governance.errors import ReconciliationError, SourceError

FAULTS_NAMED = 5


def check_tables(source: Source, contract: SourceContract) -> None:
    """Make sure that a database has the tables and columns that its contract declares.

    Raises:
        SourceError: it has not.
    """
    faults: list[str] = []
    for table in contract.tables.values():
        found = source.columns(table.name)
        missing = [c.name for c in table.read_columns if c.name not in found]
        if not found:
            faults.append(f"table {table.name} is missing (declared at {table.where})")
        elif missing:
            where = table.by_name[missing[0]].where
            names = ", ".join(missing)
            faults.append(f"table {table.name} has no column {names} (declared at {where})")
        else:
            for name in source.check_types(table, found):
                column = table.by_name[name]
                faults.append(
                    f"column {table.name}.{name} is {found[name] or 'untyped'}, declared as "
                    f"{column.source_type} at {column.where}"
                )
    if faults:
        more = f" and {len(faults) - FAULTS_NAMED} more" if len(faults) > FAULTS_NAMED else ""
        raise SourceError(
            f"Source {source.name} is not as its contract says: "
            f"{'; '.join(faults[:FAULTS_NAMED])}{more}. Correct the contract or the database."
        )


def refuse_unequal(checks: list[Check]) -> None:
    """Make sure that lake and source add up.

    Raises:
        ReconciliationError: they do not.
    """
    unequal = [check for check in checks if not check.is_equal]
    if unequal:
        named = ", ".join(
            f"{c.source_name}.{c.table_name} {c.check_code}"
            + (f" of {c.column_name}" if c.column_name else "")
            for c in unequal[:FAULTS_NAMED]
        )
        raise ReconciliationError(
            f"The lake does not add up to the source in {len(unequal)} of {len(checks)} "
            f"checks ({named}): the snapshot was discarded and the last good one stays "
            "current. Run `scutari snapshot --full`; if it fails again, report a defect."
        )

"""Why a snapshot is refused: wrong settings, another database, a lake that does not add up."""

from __future__ import annotations

from extract.contracts import SourceContract, operational_contracts
from extract.reconcile import Check
from extract.sources.base import Source
from governance.errors import ReconciliationError, SettingsError, SourceError
from governance.settings import SETTINGS_FILE, Settings

FAULTS_NAMED = 5


def configured_sources(
    settings: Settings, contracts: dict[str, SourceContract]
) -> dict[str, SourceContract]:
    """Return the contracts of the sources that the settings name.

    Raises:
        SettingsError: a source has no contract, or one that is not operational.
    """
    operational = operational_contracts(contracts)
    strangers = sorted(set(settings.sources) - set(operational))
    if strangers and strangers[0] in contracts:
        raise SettingsError(
            f"{settings.home / SETTINGS_FILE} names the source {strangers[0]}, which is declared, "
            "but not as operational: write is_operational: true into config.meta of the source "
            f"in models/staging/{strangers[0]}/."
        )
    if strangers:
        raise SettingsError(
            f"{settings.home / SETTINGS_FILE} names the source {strangers[0]}, which no contract "
            "declares: write models/staging/"
            f"{strangers[0]}/_{strangers[0]}__sources.yml or remove it."
        )
    return {name: operational[name] for name in settings.sources}


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

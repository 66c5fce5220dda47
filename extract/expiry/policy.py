"""Which rows are old: the policy of each table, as ``[retention.tables]`` in the settings says it.

A policy counts whole months before the current one (UTC), so that what is kept changes once a month
and a partition of a month goes whole. A row without the date, or whose date cannot be read, stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import pyarrow as pa
import pyarrow.compute as pc

from extract.contracts import ColumnContract, TableContract
from extract.erasure.belonging import Belonging, Place, belongings
from extract.values import Mask, read_values
from governance.errors import SettingsError
from governance.settings import SETTINGS_FILE, Settings

_DATED = ("date", "timestamp")


@dataclass(frozen=True)
class Rule:
    """The policy of one table.

    Attributes:
        table: the contract.
        column: says how old a row is.
        before: the first day that is kept; the first of a month, UTC.
    """

    table: TableContract
    column: ColumnContract
    before: date

    def is_old(self, values: pa.Array) -> Mask:
        """Return which values of the column, in its type of the lake, are too old."""
        first = datetime(self.before.year, self.before.month, 1, tzinfo=UTC)
        bound = pa.scalar(self.before if pa.types.is_date(values.type) else first, values.type)
        found: Mask = pc.fill_null(pc.less(values, bound), False).to_numpy(zero_copy_only=False)
        return found

    def is_old_in_source(self, values: pa.Array) -> Mask:
        """Return the same of values as a database has them."""
        return self.is_old(read_values(values, self.column.source_type, self.column.time_zone, {}))

    def is_old_in_quarantine(self, text: str | None) -> bool:
        """Return the same of a value that quarantine keeps as text."""
        number, _, unit = (text or "").rpartition(" ")
        if unit in ("us", "days") and number.lstrip("-").isdigit():
            kind = pa.timestamp("us", tz="UTC") if unit == "us" else pa.date32()
            width = pa.int64() if unit == "us" else pa.int32()
            return bool(self.is_old(pa.array([int(number)], width).cast(kind))[0])
        return bool(self.is_old_in_source(pa.array([text], pa.string()))[0])

    def state(self, period: str) -> str:
        """Say what the policy makes of a partition; while it is the same, the file stays.

        Empty where nothing of it is old. A database tells a period by its own clock, which can be
        some hours off: the months at the limit are looked at again whenever it moves.
        """
        if self.column.name != self.table.partition_by:
            return f"before {self.before}"
        # What is no month (rows without a date) sorts behind all of them.
        if period > _month(self.before):
            return ""
        return f"before {self.before}" if period >= _month(_back(self.before, 1)) else "all before"


Rules = Mapping[Place, Rule]


def rules_of(settings: Settings, tables: Iterable[TableContract], now: datetime) -> Rules:
    """Return the policies of an installation, by source and table.

    Args:
        settings: the installation.
        tables: every declared operational table.
        now: by the machine's clock.

    Raises:
        SettingsError: a policy names no table or column that can have one.
    """
    policies = settings.retention.tables if settings.retention else {}
    declared = {f"{table.source}.{table.name}": table for table in tables}
    owned = belongings(declared.values()) if policies else {}
    rules = {}
    for name, policy in policies.items():
        where = f'[retention] tables."{name}" in {settings.home / SETTINGS_FILE}'
        table = declared.get(name)
        if table is None or (table.source, table.name) not in owned:
            raise SettingsError(
                f"{where} names no table of patients' records: write one as source.table."
            )
        if table.is_registration:
            raise SettingsError(
                f"{where}: registrations stay as long as rows name them, so they do not expire: "
                "name a table of events; a person is taken out with `scutari erase`."
            )
        column = table.by_name.get(policy.by or table.partition_by or "")
        if column is None or column.data_type not in _DATED or not column.goes_to_lake:
            raise SettingsError(
                f"{where} needs by = a column of dates or instants of {name} that goes to the lake."
            )
        months = _back(now.astimezone(UTC).date(), policy.months)
        rules[table.source, table.name] = Rule(table, column, months)
    return rules


def clock() -> datetime:
    """Return the instant that policies are counted from."""
    return datetime.now(UTC)


def concerned(rules: Rules, tables: Mapping[Place, Belonging]) -> dict[Place, Belonging]:
    """Return the tables of which rows can go: those with a policy, and what refers to them."""
    domains = {tables[place].key_domain for place in rules}
    while True:
        referring = {
            b.key_domain
            for b in tables.values()
            if any(column.key_domain in domains for column in b.references)
        }
        if referring <= domains:
            return {place: b for place, b in tables.items() if b.key_domain in domains}
        domains |= referring


def limits(rules: Rules) -> dict[str, str]:
    """Return the first day that is kept of each table, for the manifest."""
    return {
        f"{source}.{name}": rule.before.isoformat()
        for (source, name), rule in sorted(rules.items())
    }


def _back(day: date, months: int) -> date:
    """Return the first of the month so many months ago."""
    count = 12 * day.year + day.month - 1 - months
    return date(count // 12, count % 12 + 1, 1)


def _month(day: date) -> str:
    return f"{day:%Y-%m}"

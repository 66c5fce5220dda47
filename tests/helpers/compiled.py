"""The models' own SQL, as dbt has compiled it, over rows in memory.

A property test asks the same models hundreds of times; a dbt run for each would take hours. What
stands here is not written a second time: it is read from the manifest of a build.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb
import polars as pl

from governance.settings import Settings
from ops.build import target_path

Node = Mapping[str, Any]


class CompiledModels:
    """Some models and all that they need, over tables of the staging layer that a test fills.

    Seeds are those of the build; so are the models named in ``kept``, with the rows they had.
    """

    def __init__(
        self, settings: Settings, wanted: Iterable[str], *, kept: Iterable[str] = ()
    ) -> None:
        manifest = json.loads((target_path(settings) / "manifest.json").read_text("utf-8"))
        self._nodes: dict[str, Node] = manifest["nodes"]
        self._kept = set(kept)
        self.inputs: set[str] = set()
        self._made: set[str] = set()
        self._statements: list[tuple[str, str, str]] = []
        self._connection = duckdb.connect()
        self._connection.execute("set TimeZone = 'UTC'")
        self._connection.execute("set threads = 1")
        self._connection.execute("attach ':memory:' as warehouse")
        with duckdb.connect(str(settings.warehouse), read_only=True) as built:
            for name in wanted:
                self._make(next(key for key in self._nodes if key.endswith(f".{name}")), built)
        self._connection.execute("use warehouse")
        for name, kind, sql in self._statements:
            self._connection.execute(f"create {kind} {name} as {sql}")

    def _make(self, key: str, built: duckdb.DuckDBPyConnection) -> None:
        """Copy what a node needs or note its statement, then the same for the node."""
        node = self._nodes.get(key)
        if node is None or key in self._made:
            return
        self._made.add(key)
        name = f"{node['schema']}.{node['alias']}"
        self._connection.execute(f"create schema if not exists warehouse.{node['schema']}")
        if node["resource_type"] == "seed" or node["name"] in self._kept:
            self._copy(name, built.sql(f"from {name}").to_arrow_table())
        elif node["schema"] == "staging":
            self._copy(name, built.sql(f"from {name} limit 0").to_arrow_table())
            self.inputs.add(node["name"])
        else:
            for parent in node["depends_on"]["nodes"]:
                self._make(parent, built)
            self._statements.append((name, node["config"]["materialized"], node["compiled_code"]))

    def _copy(self, name: str, rows: object) -> None:
        self._connection.register("copied", rows)
        self._connection.execute(f"create table warehouse.{name} as from copied")
        self._connection.unregister("copied")

    def fill(self, tables: Mapping[str, pl.DataFrame]) -> None:
        """Give the staging tables these rows and no others; columns not named are null.

        Raises:
            KeyError: none of the models reads such a table.
        """
        unknown = set(tables) - self.inputs
        if unknown:
            raise KeyError(f"No model here reads {', '.join(sorted(unknown))}.")
        for name in self.inputs:
            self._connection.execute(f"delete from staging.{name}")
        for name, rows in tables.items():
            self.add(f"staging.{name}", rows)

    def add(self, name: str, rows: pl.DataFrame) -> None:
        """Add rows to a table; columns not named are null."""
        self._connection.register("added", rows.to_arrow())
        self._connection.execute(f"insert into {name} by name from added")
        self._connection.unregister("added")

    def build(self) -> None:
        """Build the tables anew; views show what stands there."""
        for name, kind, sql in self._statements:
            if kind == "table":
                self._connection.execute(f"create or replace table {name} as {sql}")

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, after a build."""
        self.build()
        return self._connection.execute(sql).fetchall()

    def run(self, statement: str) -> None:
        """Run a statement, such as a change of one staging table."""
        self._connection.execute(statement)

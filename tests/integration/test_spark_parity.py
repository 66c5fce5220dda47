"""The same models and tests on Apache Spark; every table equals DuckDB's, row for row."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest
import yaml

from governance.settings import PROJECT_ROOT, load_settings
from tests.helpers.dbt import DbtRun, run_dbt
from tests.helpers.reviews import review_at_random

IS_ASKED_FOR = os.environ.get("SCUTARI_SPARK_TESTS") == "1"
IS_INSTALLED = importlib.util.find_spec("pyspark") is not None and shutil.which("java") is not None

pytestmark = [
    pytest.mark.spark,
    pytest.mark.skipif(
        not (IS_ASKED_FOR and IS_INSTALLED),
        reason="needs Java, the spark dependencies and SCUTARI_SPARK_TESTS=1: `make test-spark`",
    ),
]

VISITS = 1500
# The id of the build itself.
NOT_DATA = "build_id"
# Hundreds of queries over a few rows: what Spark does to be fast with many rows takes longest here.
FEW_ROWS = {
    "spark.sql.catalogImplementation": "in-memory",
    "spark.sql.shuffle.partitions": "1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.driver.extraJavaOptions": "-XX:+UseSerialGC",
}
SCHEMAS = ("intermediate", "core", "marts", "quality", "research", "published")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from chart_audit.hand_over import hand_over  # noqa: PLC0415
    from demo.network import plant_network  # noqa: PLC0415
    from extract.snapshot import take_snapshot  # noqa: PLC0415

    directory = tmp_path_factory.mktemp("spark-home")
    plant_network(directory, visits=VISITS, progress=lambda _: None)
    review_at_random(load_settings(directory))
    hand_over(load_settings(directory))
    take_snapshot(load_settings(directory), progress=lambda _: None)
    return directory


@pytest.fixture(scope="module")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's profiles, Spark's for few rows."""
    directory = tmp_path_factory.mktemp("profiles")
    named = yaml.safe_load((PROJECT_ROOT / "profiles.yml").read_text("utf-8"))
    named["scutari"]["outputs"]["spark"]["server_side_parameters"] |= FEW_ROWS
    (directory / "profiles.yml").write_text(yaml.safe_dump(named), "utf-8")
    return directory


@pytest.fixture(scope="module")
def builds(home: Path, profiles: Path) -> dict[str, DbtRun]:
    def build(target: str) -> DbtRun:
        arguments = ("build", "--target", target)
        return run_dbt(home, home / "dbt" / target, *arguments, profiles=profiles)

    targets = ("duckdb", "spark")
    with ThreadPoolExecutor(len(targets)) as pool:
        return dict(zip(targets, pool.map(build, targets), strict=True))


def tables(home: Path) -> list[tuple[str, str]]:
    manifest = json.loads((home / "dbt" / "duckdb" / "manifest.json").read_text("utf-8"))
    return sorted(
        (node["schema"], node["alias"])
        for node in manifest["nodes"].values()
        if node["resource_type"] == "model"
        and node["schema"] in SCHEMAS
        and node["config"]["materialized"] == "table"
    )


@pytest.mark.parametrize("target", ["duckdb", "spark"])
def test_build_is_green(builds: dict[str, DbtRun], target: str) -> None:
    run = builds[target]
    assert run.not_green() == []
    assert run.exit_code == 0


def test_both_ran_the_same_models_and_tests(builds: dict[str, DbtRun]) -> None:
    ran = {
        target: {row["unique_id"] for row in run.results if "operation" not in row["unique_id"]}
        for target, run in builds.items()
    }
    assert ran["spark"] == ran["duckdb"]


def test_every_table_is_equal(builds: dict[str, DbtRun], home: Path) -> None:
    names = tables(home)
    assert len(names) > len(SCHEMAS)
    different = {}
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(f"attach '{home}/warehouse.duckdb' as warehouse (read_only)")
        for schema, name in names:
            count = rows_that_differ(connection, home, schema, name)
            if count:
                different[f"{schema}.{name}"] = count
    assert different == {}


def rows_that_differ(
    connection: duckdb.DuckDBPyConnection, home: Path, schema: str, name: str
) -> int:
    """Rows in one and not in the other, either way; columns are matched by name."""
    columns = [
        str(row[0])
        for row in connection.execute(
            "select column_name from duckdb_columns() where database_name = 'warehouse' "
            "and schema_name = ? and table_name = ? and column_name <> ? order by column_index",
            [schema, name, NOT_DATA],
        ).fetchall()
    ]
    listed = ", ".join(columns)
    ours = f"select {listed} from warehouse.{schema}.{name}"
    theirs = (
        f"select {listed} from read_parquet('{home}/spark/warehouse/{schema}.db/{name}/*.parquet')"
    )
    row = connection.execute(
        f"select count(*) from (({ours} except all {theirs}) "
        f"union all ({theirs} except all {ours}))"
    ).fetchone()
    assert row is not None
    return int(row[0])

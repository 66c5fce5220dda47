"""Turn the worked histories of ED returns into dbt unit tests and the page of definitions.

`python -m ops.histories.generate` writes them; with `--check` it only says whether the committed
files are what the histories give.
"""

from __future__ import annotations

import csv
import io
import itertools
from datetime import datetime
from pathlib import Path

import click

from governance.settings import PROJECT_ROOT
from ops.histories.definitions_page import definitions_page
from ops.histories.measure_histories import load_measure_histories
from ops.histories.measure_tests import measure_tests
from ops.histories.steps import Row, Value
from ops.histories.unit_tests import UnitTest, unit_tests
from ops.histories.worked import load_histories

UNIT_TESTS = PROJECT_ROOT / "models" / "unit_tests" / "ed_returns"
DEFINITIONS = PROJECT_ROOT / "docs" / "definitions" / "ed_returns.md"
MAXIMUM_LINES = 300
HEADER = [
    "# Written by `python -m ops.histories.generate` from tests/histories: change those.",
    "# The digits of a visit, a person or a hospital are the number of its history.",
    "version: 2",
    "unit_tests:",
]


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; fail where a file is out of date.")
def main(check: bool) -> None:
    """Write the unit tests and the definitions page from the worked histories."""
    wanted = generated_files()
    present = {*UNIT_TESTS.glob("*.yml"), *([DEFINITIONS] if DEFINITIONS.exists() else [])}
    stale = sorted(
        path
        for path in present | set(wanted)
        if path not in wanted or not path.exists() or path.read_text("utf-8") != wanted[path]
    )
    names = ", ".join(str(path.relative_to(PROJECT_ROOT)) for path in stale)
    if check and stale:
        raise click.ClickException(
            f"{names}: not what tests/histories gives: run `python -m ops.histories.generate`."
        )
    for path in stale:
        if path in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted[path], encoding="utf-8")
        else:
            path.unlink()
    click.echo(f"Written: {names}." if stale else "Unit tests and definitions are up to date.")


def generated_files() -> dict[Path, str]:
    """Every generated file with the text it must have."""
    histories, of_measures = load_histories(), load_measure_histories()
    files = {DEFINITIONS: definitions_page(histories, of_measures)}
    # One model is tested by both kinds of histories; its files are numbered through.
    tests = sorted(
        [*unit_tests(histories), *measure_tests(of_measures)], key=lambda test: test.model
    )
    for model, group in itertools.groupby(tests, key=lambda test: test.model):
        for number, text in enumerate(_files_of([render(test) for test in group]), start=1):
            files[UNIT_TESTS / f"_{model}__unit_tests_{number}.yml"] = text
    return files


def _files_of(rendered: list[list[str]]) -> list[str]:
    """Pack the tests of one model into files that a reader can still scroll through."""
    files: list[list[str]] = []
    for lines in rendered:
        if not files or len(files[-1]) + len(lines) > MAXIMUM_LINES:
            files.append(list(HEADER))
        files[-1].extend(lines)
    return ["\n".join(lines) + "\n" for lines in files]


def render(test: UnitTest) -> list[str]:
    """One unit test as lines of YAML."""
    lines = [
        f"  - name: {test.name}",
        f"    model: {test.model}",
        "    description: >-",
        *(f"      {line}" for line in test.description.splitlines()),
        "    given:",
    ]
    for name, rows in test.given.items():
        lines.append(f"      - input: ref('{name}')")
        lines.extend("        " + line for line in _rows_yaml(rows))
    lines.append("    expect:")
    lines.extend("      " + line for line in _rows_yaml(test.expect))
    return lines


def _rows_yaml(rows: list[Row]) -> list[str]:
    if not rows:
        return ["rows: []"]
    text = io.StringIO()
    # Rows about different things need not name the same columns.
    columns = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_text(row.get(name)) for name in columns] for row in rows)
    return ["format: csv", "rows: |", *("  " + line for line in text.getvalue().splitlines())]


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return str(value)


if __name__ == "__main__":
    main()

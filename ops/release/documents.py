"""What lies beside the tables of a release: how to open it, what columns mean, the terms."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

VIEWS = "release.duckdb"
README = "README.md"
DICTIONARY = "data_dictionary.csv"
TERMS = "TERMS.md"
REPORT = "risk_report.html"

_SYNTHETIC = "**These data are synthetic: nobody in them exists.**"
_GATE = """\
Every person's record looks, in all columns but how the stays ended, like those of at least ten
others: whoever knows sex and age band, and besides any two stays, any two diagnosis groups, or all
stays in order, is left with 11 persons or more, and the mean risk of each of these attackers is at
most 0.05. What they are left with stands in `risk_report.html`. That is what was checked, and no
statement that nobody can be found.
"""
_ABOUT = {
    "open": """\
A sample of persons, and of each the first few ED stays of one calendar year: bands for ages,
intervals and lengths of stay, no area, no hospital, no date. Of a history as much is shown as
enough others share.
""",
    "safe_harbor_fields": """\
The fields that HIPAA's Safe Harbor lists (45 CFR 164.514(b)(2)) are removed: years instead of
dates, ages from 90 in one band, the first three digits of a ZIP from an allow-list, no number, name
or place of a person. A sample of persons, and of each the first few ED stays of one calendar year,
as much of them as enough others share.
""",
    "limited": """\
A limited data set (45 CFR 164.514(e)): still protected health information, for the holder of the
agreement alone. All dates of a person are moved by the same secret number of days; stays at the
edges of the period and on days that everybody knows are left out. Intervals between a person's
dates are true, dates are not.
""",
}
_TERMS = {
    "open": """\
- Do not try to find anybody, and do not link these files with others about persons.
- Who finds somebody by chance tells the hospital network, and nobody else.
- Publish no count of 1 to 10.
- Pass the files on with these terms only.
""",
    "limited": """\
- For the purpose of the agreement, by the persons it names, for as long as it says.
- Do not try to find or contact anybody, and do not link these files with others about persons.
- Do not try to find out by how many days dates were moved.
- Keep the files encrypted; pass them on to nobody.
- Tell the hospital network at once of any use or loss that the agreement does not allow.
- Publish no count of 1 to 10, and no date of a person.
- Destroy the files at the end of the agreement, and say so in writing.
""",
}
_TERMS["safe_harbor_fields"] = _TERMS["open"]
_OPEN = """\
## Two minutes

In this directory, with DuckDB's own program:

```
duckdb -readonly release.duckdb
```

```sql
show tables;
select p.age_band, count(distinct p.person_key) as persons, count(*) as visits
from release_ed_visits as v join release_patients as p using (person_key)
group by all order by all;
```

From Python (`pip install duckdb`), from anywhere:

```python
import duckdb
con = duckdb.connect("path/to/release/release.duckdb", read_only=True)
con.execute("set file_search_path = 'path/to/release'")
con.sql("from release_patients limit 5").show()
```

In R (`install.packages("duckdb")`):

```r
con <- DBI::dbConnect(duckdb::duckdb(), "release.duckdb", read_only = TRUE)
DBI::dbGetQuery(con, "from release_patients limit 5")
```

The views read the Parquet files beside them, which every other tool reads, too. Ids (`_key`) are
random numbers of this release only. `manifest.json` holds the SHA-256 of each file.
"""


@dataclass(frozen=True)
class Release:
    """What the documents of a release say of it.

    Attributes:
        name: of the release.
        profile: the profile it was made under.
        agreement: id of the data use agreement, where the profile needs one.
        recipient: code of who is given it, or ``everybody``.
        rows: rows of each table.
        documentation: of each table its ``description`` and ``columns`` with their meaning.
        is_synthetic: nobody in it exists.
    """

    name: str
    profile: str
    agreement: str | None
    recipient: str
    rows: Mapping[str, int]
    documentation: Mapping[str, Mapping[str, object]]
    is_synthetic: bool

    def columns(self, table: str) -> dict[str, str]:
        """Return the columns of a table with their meaning."""
        found = self.documentation[table]["columns"]
        assert isinstance(found, dict)
        return found


def write_documents(release: Release, directory: Path) -> None:
    """Write README, terms, data dictionary and the database of views beside the tables."""
    (directory / README).write_text(_readme(release), encoding="utf-8")
    (directory / TERMS).write_text(_terms(release), encoding="utf-8")
    (directory / DICTIONARY).write_text(_dictionary(release, directory), encoding="utf-8")
    _write_views(release, directory)


def _readme(release: Release) -> str:
    lines = [f"# Release {release.name}", ""]
    if release.is_synthetic:
        lines += [_SYNTHETIC, ""]
    lines += [_ABOUT[release.profile], _GATE]
    lines += [
        "What that does to results is listed under Bias in the risk report. Read `TERMS.md`.",
        "",
    ]
    lines += [_OPEN]
    for table, count in release.rows.items():
        lines += [f"## {table}: {count:,} rows", ""]
        lines += [str(release.documentation[table]["description"]), ""]
        lines += ["| column | meaning |", "|---|---|"]
        lines += [f"| {column} | {text} |" for column, text in release.columns(table).items()]
        lines += [""]
    return "\n".join(lines)


def _terms(release: Release) -> str:
    under = f" under the data use agreement {release.agreement}" if release.agreement else ""
    text = [f"# Terms of use of the release {release.name}", ""]
    if release.is_synthetic:
        text += [_SYNTHETIC, ""]
    text += [f"Profile {release.profile}, given to {release.recipient}{under}.", ""]
    return "\n".join([*text, _TERMS[release.profile]])


def _dictionary(release: Release, directory: Path) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["table", "column", "type", "meaning"])
    for table in release.rows:
        schema = pq.read_schema(directory / f"{table}.parquet")
        for column, meaning in release.columns(table).items():
            writer.writerow([table, column, schema.field(column).type, " ".join(meaning.split())])
    return text.getvalue()


def _write_views(release: Release, directory: Path) -> None:
    """Make a database of views: it holds no row, and no path but the files' own names."""
    with duckdb.connect(str(directory / VIEWS)) as connection:
        place = str(directory).replace("'", "''")
        connection.execute(f"set file_search_path = '{place}'")
        for table in release.rows:
            meaning = str(release.documentation[table]["description"]).replace("'", "''")
            connection.execute(
                f"create view {table} as select * from read_parquet('{table}.parquet')"
            )
            connection.execute(f"comment on view {table} is '{meaning}'")

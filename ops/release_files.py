"""The directory of a release: its README, and its appearance under its name in one step."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from governance.errors import PublicationError
from governance.files import sync
from governance.locks import exclusive

_ABOUT = """\
HIPAA's fields are removed or generalised: years instead of dates, intervals and lengths of stay in
bands, ages from 90 in one band, ZIP3 from an allow-list, hospitals as peer groups. Each combination
of a person's attributes is shared by at least 11 persons, and so is each diagnosis group. That does
not make the data anonymous: whole histories were not checked against somebody who knows some visits
of a person. Do not try to find anybody.

What this does to results: persons in small groups are left out, a person's visits are those of one
calendar year and only the first few, rare diagnoses are pooled. Counts are too low for frequent
attenders, the very old and rare conditions. Ids are of this release only.

```sql
select v.length_of_stay_band, count(*) as visits
from 'release_ed_visits.parquet' as v
join 'release_patients.parquet' as p using (person_key)
where p.age_band = '75-89' group by all order by all;
```
"""

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextmanager
def hold(directory: Path) -> Iterator[None]:
    """Keep a second writer out of a directory; the lock ends with the process that holds it.

    Raises:
        PublicationError: another process holds it.
    """
    refusal = PublicationError(
        f"Another release is being written to {directory}: wait for it to end."
    )
    with exclusive(directory, refusal):
        yield


def sync_all(directory: Path) -> None:
    """Have the files of a directory, and their names, on disk before anybody sees them."""
    for path in [*directory.iterdir(), directory]:
        sync(path)


def replace_directory(new: Path, final: Path) -> None:
    """Put a directory in the place of another (or of none) so that one of them is always there."""
    if not final.exists():
        new.rename(final)
    elif _exchange(new, final):
        shutil.rmtree(new)
    else:
        # No exchange on this system: a kill between the two steps is mended by the next release.
        old = final.with_name(f".{final.name}.old")
        final.rename(old)
        new.rename(final)
        shutil.rmtree(old)
    sync(final.parent)


def _exchange(first: Path, second: Path) -> bool:
    """Swap two directories in one step where the system can (Linux with a common file system)."""
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    arguments = (_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second))
    return bool(renameat2(*arguments, _RENAME_EXCHANGE) == 0)


def readme(
    name: str,
    rows: dict[str, int],
    documentation: dict[str, dict[str, Any]],
    *,
    is_synthetic: bool,
) -> str:
    """Describe a release for the researcher who opens it."""
    lines = [f"# Release {name}", ""]
    if is_synthetic:
        lines += ["**These data are synthetic: nobody in them exists.**", ""]
    lines += [_ABOUT]
    for table, count in rows.items():
        body = documentation[table]
        lines += [f"## {table}: {count:,} rows", "", body["description"], ""]
        lines += ["| column | meaning |", "|---|---|"]
        lines += [f"| {column} | {text} |" for column, text in body["columns"].items()]
        lines += [""]
    return "\n".join(lines)

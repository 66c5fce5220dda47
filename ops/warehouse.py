"""Hold the warehouse file for one writer, and know why it cannot be had."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from extract.erasure.state import require_applied_to_lake
from extract.verify import verify_snapshot
from governance.errors import BuildError
from governance.locks import exclusive
from governance.settings import Settings
from ops.encryption import attach_warehouse

LOCK_FILE = ".warehouse.lock"


def dbt_spill(settings: Settings) -> Path:
    """Return where DuckDB puts what does not fit into memory while dbt builds."""
    return settings.work / "spill" / "dbt"


@contextmanager
def held(settings: Settings) -> Iterator[int]:
    """Hold the warehouse for a build or a release.

    Yields:
        The lock's file descriptor: a child that inherits it keeps the lock when its parent is
        killed.

    Raises:
        BuildError: another build holds it, or another program has the file open.
    """
    refusal = BuildError(
        f"Another build or release is writing {settings.warehouse}: wait until it has ended."
    )
    with exclusive(settings.builders / LOCK_FILE, refusal) as descriptor:
        _check_free(settings)
        # What a killed build has spilled; whoever has the file open is not killed.
        shutil.rmtree(dbt_spill(settings), ignore_errors=True)
        dbt_spill(settings).mkdir(mode=0o700, parents=True)
        yield descriptor


def current_snapshot(settings: Settings) -> str:
    """Return the id of the current snapshot, all of whose files are as they were written.

    Raises:
        BuildError: there is none.
        ErasureError: an erasure is not applied to it.
        SnapshotError: a file is missing or was changed.
    """
    link = settings.lake / "current"
    if not link.is_symlink() or not link.exists():
        raise BuildError(
            f"There is no snapshot in {settings.lake}: take one with `scutari snapshot` first."
        )
    require_applied_to_lake(settings)
    # Without the key: whoever builds has no business in the vault. `scutari verify` looks whether
    # the manifest itself is the one that was signed.
    return verify_snapshot(settings, link.resolve().name, with_key=False).snapshot_id


def _check_free(settings: Settings) -> None:
    if not settings.warehouse.exists():
        return
    try:
        if settings.encryption is None:
            duckdb.connect(str(settings.warehouse)).close()
        else:
            # For writing the extension is needed, which the build itself asks for.
            with duckdb.connect() as connection:
                attach_warehouse(connection, settings)
    except duckdb.Error:
        raise BuildError(
            f"{settings.warehouse} cannot be opened for writing: close the program that has it "
            "open; if there is none, the file is damaged or write-protected, and a build makes a "
            "new one once it is moved away."
        ) from None

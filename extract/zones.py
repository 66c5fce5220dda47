"""The zones of an installation while a snapshot is taken: one at a time, clean, under one key."""

from __future__ import annotations

import contextlib
import errno
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import duckdb

from extract.identity.epochs import TokenKeys, token_keys
from extract.identity.matching.grouping import REVIEW
from extract.identity.opening import VERSIONS
from extract.identity.token_map import MAPS
from extract.lake import snapshot_ids
from governance.errors import SnapshotError
from governance.locks import exclusive
from governance.settings import Settings

LOCK_FILE = ".snapshot.lock"
QUARANTINE = "quarantine"
ID_FORMAT = "%Y%m%dT%H%M%SZ"
_FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Make the zones and hold them for one snapshot.

    Raises:
        SnapshotError: another one is being taken.
    """
    settings.lake.mkdir(parents=True, exist_ok=True)
    for zone in (settings.vault, settings.restricted):
        zone.mkdir(mode=0o700, parents=True, exist_ok=True)
    refusal = SnapshotError(
        f"Another snapshot is being taken into {settings.lake}: wait until it has ended."
    )
    with exclusive(settings.lake / LOCK_FILE, refusal):
        yield


@contextlib.contextmanager
def explained(settings: Settings) -> Iterator[None]:
    """Say in one sentence what kept the snapshot from being written."""
    try:
        yield
    except OSError as error:
        what = "the disk is full" if error.errno in _FULL_DISK else type(error).__name__
        raise SnapshotError(
            f"The snapshot could not be written under {settings.home} ({what}): the last good one "
            "stays current; free space or mend the directory and run `scutari snapshot` again."
        ) from None
    except duckdb.Error as error:
        raise SnapshotError(
            f"Registrations could not be linked in {settings.vault} ({type(error).__name__}): the "
            "last good snapshot stays current; check free memory and disk space."
        ) from None


def sweep(settings: Settings) -> None:
    """Remove what an unfinished run left, in every zone."""
    by_snapshot = [settings.restricted / QUARANTINE, settings.restricted / REVIEW]
    folders = [settings.lake, settings.vault / VERSIONS, *by_snapshot]
    for folder in folders:
        for path in folder.glob(".*.tmp"):
            shutil.rmtree(path)
    whole = set(snapshot_ids(settings.lake))
    for folder in by_snapshot:
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name not in whole:
                shutil.rmtree(path)
    for path in (settings.restricted / MAPS).glob(".*.new"):
        path.unlink()
    shutil.rmtree(settings.restricted / "spill" / "extract", ignore_errors=True)


def installation_keys(settings: Settings) -> TokenKeys:
    """Return the token keys, made on the first run; the vault remembers which one it was.

    Raises:
        KeyFileError: the key is missing, open to others, or another than before.
    """
    return token_keys(settings, is_first=not snapshot_ids(settings.lake))


def new_id(settings: Settings) -> str:
    """Return a name from the clock that no snapshot has yet and that sorts after all of them."""
    moment = datetime.now(UTC)
    newest = max(snapshot_ids(settings.lake), default="")
    if moment.strftime(ID_FORMAT) <= newest:
        moment = datetime.strptime(newest, ID_FORMAT).replace(tzinfo=UTC) + timedelta(seconds=1)
    return moment.strftime(ID_FORMAT)

"""The directory of a release: it appears under its name in one step, or not at all."""

from __future__ import annotations

import ctypes
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from governance.errors import PublicationError
from governance.files import sync
from governance.locks import exclusive

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

"""Files that outlive a power cut: bytes on the disk, whole, in one step."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def sync(path: Path) -> None:
    """Make a file's bytes or a directory's entries outlive a power cut."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def is_shared(directory: Path) -> bool:
    """Say whether a directory is open to a group and hands that group on to what is made in it."""
    mode = directory.stat().st_mode
    return bool(mode & stat.S_ISGID and mode & stat.S_IXGRP)


def write_whole(path: Path, content: bytes, mode: int) -> None:
    """Put a file in place whole or not at all, with its mode from the first byte on."""
    temporary = path.with_name(f".{path.name}.new")
    temporary.unlink(missing_ok=True)
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def replace_directory(new: Path, final: Path) -> None:
    """Put a directory in the place of another in one step, and remove that other one.

    Where the system cannot exchange two names (it can on Linux with a common file system), a kill
    between the two renames leaves ``.<name>.old``: see ``mend_replaced``.
    """
    if _exchange(new, final):
        sync(final.parent)
        shutil.rmtree(new)
        return
    old = final.with_name(f".{final.name}.old")
    final.rename(old)
    new.rename(final)
    sync(final.parent)
    shutil.rmtree(old)


def mend_replaced(folder: Path) -> None:
    """End what a kill between the two renames of ``replace_directory`` left in a folder."""
    for old in folder.glob(".*.old"):
        final = old.with_name(old.name.removeprefix(".").removesuffix(".old"))
        if final.exists():
            shutil.rmtree(old)
        else:
            old.rename(final)


def _exchange(first: Path, second: Path) -> bool:
    try:
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    arguments = (_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second))
    return bool(renameat2(*arguments, _RENAME_EXCHANGE) == 0)

"""What takes long to make and is only read: made by the first worker, found by the others."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def made_once(
    tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]
) -> Path:
    """Return a directory that is filled once a session, whichever worker needs it first.

    Args:
        tmp_path_factory: pytest's.
        name: the directory's, one for each thing that is made.
        make: fills the directory.
    """
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if is_worker else base) / name
    with _locked(home.with_suffix(".lock")):
        done = home / ".complete"
        if not done.exists():
            home.mkdir(exist_ok=True)
            make(home)
            done.touch()
    return home


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

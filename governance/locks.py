"""One writer at a time, across processes."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from governance.errors import ScutariError

_POLL_SECONDS = 0.002


@contextmanager
def exclusive(path: Path, refusal: ScutariError, *, wait_seconds: float = 0) -> Iterator[int]:
    """Hold a lock file, made where it is absent, or a directory.

    The lock ends with the last process that has its descriptor.

    Args:
        path: the file or directory.
        refusal: raised where another process holds it.
        wait_seconds: how long to wait for the other one; not at all where none is given.

    Yields:
        The descriptor, for a child to inherit.
    """
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags, 0o600)
    try:
        deadline = time.monotonic() + wait_seconds
        while not _is_taken(descriptor):
            if time.monotonic() >= deadline:
                raise refusal
            time.sleep(_POLL_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _is_taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True

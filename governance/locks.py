"""One writer at a time, across processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from governance.errors import ScutariError


@contextmanager
def exclusive(path: Path, refusal: ScutariError) -> Iterator[int]:
    """Hold a lock file, made where it is absent, or a directory.

    The lock ends with the last process that has its descriptor.

    Args:
        path: the file or directory.
        refusal: raised where another process holds it.

    Yields:
        The descriptor, for a child to inherit.
    """
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    descriptor = os.open(path, flags, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise refusal from None
        yield descriptor
    finally:
        os.close(descriptor)

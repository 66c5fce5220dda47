"""Where a hospital's store of chart reviews lies, and to whom its file is open."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from governance.errors import ChartAuditError
from governance.files import is_shared, sync
from governance.settings import Settings

_HOSPITAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def store_path(settings: Settings, hospital: str) -> Path:
    """Return where a hospital's store is.

    Raises:
        ChartAuditError: the hospital's key can name no file.
    """
    require_hospital(hospital)
    return settings.chart_audit / f"{hospital}.sqlite"


def require_hospital(hospital: str) -> None:
    """Refuse a key that can name neither file nor schema.

    Raises:
        ChartAuditError: it is none.
    """
    if not _HOSPITAL.fullmatch(hospital):
        raise ChartAuditError("A hospital is named by its code: letters, digits, _ and -.")


def require_closed(path: Path) -> None:
    """Make a store's file, closed to others, or refuse one that is open to them.

    Raises:
        ChartAuditError: it is.
    """
    wanted = 0o640 if is_shared(path.parent) else 0o600
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, wanted)
        os.fchmod(handle, wanted)
        os.close(handle)
        sync(path.parent)
    except FileExistsError:
        information = path.lstat()
        if not stat.S_ISREG(information.st_mode) or information.st_mode & ~wanted & 0o777:
            raise ChartAuditError(
                f"{path} must be a file of mode {wanted:o}, closed to others: mend it with chmod "
                "and see who could read it."
            ) from None

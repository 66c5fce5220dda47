"""Taking written reports away: they count every person openly, who was erased among them."""

from __future__ import annotations

import shutil

from governance.settings import Settings


def remove_reports(settings: Settings) -> None:
    """Remove every report of the installation; what was written elsewhere is out of reach."""
    for path in settings.reports.glob("*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()

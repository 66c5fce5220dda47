"""The audit log of an installation as tests read it, and processes that write into it and die."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from governance.audit.events import current_account
from governance.audit.log import LOG_FILE
from governance.settings import PROJECT_ROOT, Settings

# What every child begins with; `die` is a kill at this very place.
CHILD = """
import os, signal, sys
from pathlib import Path
from governance.audit import keys, log
from governance.audit.log import append, audited
from governance.settings import Settings
settings = Settings(home=Path(sys.argv[1]))
def die():
    os.kill(os.getpid(), signal.SIGKILL)
"""


def folder(settings: Settings) -> Path:
    """Where this account's log lies."""
    return settings.audit / current_account()


def lines(settings: Settings) -> list[dict[str, Any]]:
    """The entries of this account's log."""
    text = (folder(settings) / LOG_FILE).read_text()
    return [json.loads(line) for line in text.splitlines()]


def child(settings: Settings, script: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    """Run a script in a process of its own, after ``CHILD``."""
    return subprocess.run(
        [sys.executable, "-c", CHILD + script, str(settings.home), *arguments],
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        check=False,
    )

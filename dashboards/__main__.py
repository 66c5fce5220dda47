"""``python -m dashboards``: serve the pages of what was published last."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from governance.errors import ScutariError
from governance.settings import Settings, default_home
from ops.serve import DEFAULT_PORT, serve


def main(arguments: list[str] | None = None) -> int:
    """Run the server until it is stopped; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m dashboards", description=__doc__)
    parser.add_argument("--home", type=Path, default=None, help="default: SCUTARI_HOME or var/")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    options = parser.parse_args(arguments)
    settings = Settings(home=(options.home or default_home()).absolute())
    try:
        return serve(settings, options.port, announce=_say)
    except ScutariError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1


def _say(message: str) -> None:
    sys.stdout.write(f"{message}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

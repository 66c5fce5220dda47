"""Serve the dashboards: start Streamlit, say where it listens, wait until it is stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from governance.errors import PublicationError
from governance.settings import PROJECT_ROOT, Settings

DEFAULT_PORT = 8501
ADDRESS = "127.0.0.1"
START_SECONDS = 60.0


def serve(settings: Settings, port: int, *, announce: Callable[[str], None]) -> int:
    """Serve the pages until the user interrupts; return the exit code.

    Args:
        settings: the installation.
        port: TCP port on 127.0.0.1.
        announce: called with one line once the pages can be opened.

    Raises:
        PublicationError: nothing has been published, the port is taken, or the server did not
            come up.
    """
    if not (settings.published / "current.duckdb").is_file():
        raise PublicationError(
            f"Nothing has been published in {settings.published}: run `make demo` for the "
            "synthetic network, or `scutari run` on your own databases."
        )
    _check_port(port)
    server = start(settings, port)
    # A service manager ends a program with SIGTERM; without this the server would outlive it.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        wait_until_up(server, port)
        announce(f"Dashboard: http://localhost:{port} (Ctrl-C stops it)")
        return server.wait()
    except KeyboardInterrupt:
        return 0
    finally:
        stop(server)


def _interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def start(settings: Settings, port: int) -> subprocess.Popen[bytes]:
    """Start the server and return at once."""
    command = [sys.executable, "-m", "streamlit", "run", "dashboards/app.py"]
    command += ["--server.port", str(port), "--server.address", ADDRESS]
    paths = [str(PROJECT_ROOT), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "SCUTARI_HOME": str(settings.home),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    # The configuration (no telemetry, no file watcher) is read from .streamlit/ beside the code.
    return subprocess.Popen(
        command,
        cwd=PROJECT_ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def stop(server: subprocess.Popen[bytes]) -> None:
    """End the server this process started."""
    if server.poll() is None:
        server.terminate()
        try:
            server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def is_up(port: int) -> bool:
    """Say whether the server answers."""
    try:
        with urllib.request.urlopen(f"http://{ADDRESS}:{port}/_stcore/health", timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except (urllib.error.URLError, OSError):
        return False


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            raise PublicationError(
                f"Port {port} of this machine is taken: choose another one with --port, or stop "
                "the server that holds it."
            ) from None


def wait_until_up(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until the server answers.

    Raises:
        PublicationError: it ended, or did not come up in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        if is_up(port):
            return
        time.sleep(0.2)
    raise PublicationError(
        f"The dashboard did not come up on port {port} within {START_SECONDS:.0f} seconds: start "
        "it by hand with `python -m streamlit run dashboards/app.py` to see why."
    )

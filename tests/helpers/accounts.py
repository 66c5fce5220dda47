"""Acting as other accounts of this machine, with their real user ids.

A process that has loaded everything forks for each command and then gives up root for good. It has
to be loaded first: root's own interpreter may lie where no other account can read.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pwd
import stat
import subprocess
import sys
import tempfile
import traceback
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from governance.accounts import Accounts
from governance.settings import PROJECT_ROOT

# Accounts that Debian and its kin always have, and that own nothing a test could spoil.
ACCOUNTS = Accounts(
    extractor="daemon",
    builder="bin",
    release="games",
    dashboards="www-data",
    broker="backup",
    lake_readers="operator",
)
LAKE_READERS_ID = 37
REQUESTER, APPROVER, STRANGER = "list", "irc", "news"
PEOPLE = (REQUESTER, APPROVER, STRANGER)
PRELOADED = (
    "encodings.ascii",
    "encodings.idna",
    "extract.broker.lookup",
    "extract.erasure.erase",
    "extract.retention",
    "extract.snapshot",
    "extract.sources.sqlite",
    "extract.status",
    "extract.verify",
    "governance.audit.verify",
    "ops.build",
    "ops.cli.main",
    "ops.erasure",
    "ops.publication.publish",
    "ops.release.write",
    "pyarrow.parquet.encryption",
)


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def why_not() -> str | None:
    """Say why real accounts cannot be tried here, or None where they can."""
    if os.geteuid() != 0:
        return "needs root, to act as other accounts"
    for name in (*vars(ACCOUNTS).values(), *PEOPLE):
        if name != ACCOUNTS.lake_readers:
            try:
                pwd.getpwnam(name)
            except KeyError:
                return f"this machine has no account {name}"
    for place in (PROJECT_ROOT, Path(tempfile.gettempdir())):
        for folder in (place, *place.parents):
            if not folder.stat().st_mode & stat.S_IXOTH:
                return f"{folder} is closed to other accounts"
    return None


@dataclass
class Stage:
    """Runs commands as accounts of the machine; use it as a context manager."""

    home: Path
    process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Stage:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.helpers.accounts"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PROJECT_ROOT,
            env=os.environ | {"SCUTARI_HOME": str(self.home), "PYTHONPATH": str(PROJECT_ROOT)},
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(timeout=60)

    def scutari(self, account: str, *arguments: object) -> Done:
        """Run the command line as an account."""
        return self._run(account, {"arguments": [str(argument) for argument in arguments]})

    def python(self, account: str, code: str) -> Done:
        """Run a few lines as an account; the home directory stands in ``home``."""
        return self._run(account, {"code": code})

    def at_once(self, account: str, *commands: list[object]) -> list[Done]:
        """Run several command lines side by side."""
        jobs = [{"arguments": [str(word) for word in command]} for command in commands]
        return [Done(*done) for done in self._ask([_as(account) | job for job in jobs])]

    def _run(self, account: str, job: dict[str, Any]) -> Done:
        return Done(*self._ask([_as(account) | job])[0])

    def _ask(self, jobs: list[dict[str, Any]]) -> list[Any]:
        assert self.process is not None
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(jobs) + "\n")
        self.process.stdin.flush()
        answer: list[Any] = json.loads(self.process.stdout.readline())
        return answer


def _as(account: str) -> dict[str, Any]:
    entry = pwd.getpwnam(account)
    readers = (ACCOUNTS.builder, ACCOUNTS.release, ACCOUNTS.broker)
    groups = [LAKE_READERS_ID] if account in readers else []
    return {"uid": entry.pw_uid, "gid": entry.pw_gid, "groups": groups}


def _serve() -> None:
    _load_everything()
    for line in sys.stdin:
        running = [_start(job) for job in json.loads(line)]
        print(json.dumps([_finish(*begun) for begun in running]), flush=True)  # noqa: T201


def _load_everything() -> None:
    for name in PRELOADED:
        importlib.import_module(name)
    from extract import snapshot  # noqa: PLC0415
    from extract.contract_files import load_contracts  # noqa: PLC0415

    datetime.strptime("2024", "%Y")  # loads its module at the first call
    # The code lists come from a process of their own, whose interpreter may be root's alone; and
    # no diagnosis stands in what these tests plant.
    tables = load_contracts(PROJECT_ROOT)["reference"].tables
    snapshot.reference_table_apart = lambda name: tables[name].lake_schema.empty_table()


def _start(job: dict[str, Any]) -> tuple[int, Any, Any]:
    out, err = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
    child = os.fork()
    if child:
        return child, out, err
    code = 70
    try:
        os.setgroups(job["groups"])
        os.setgid(job["gid"])
        os.setuid(job["uid"])
        os.umask(0o022)
        os.dup2(out.fileno(), 1)
        os.dup2(err.fileno(), 2)
        code = _act(job)
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(OSError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _act(job: dict[str, Any]) -> int:
    if "code" in job:
        home = Path(os.environ["SCUTARI_HOME"])
        exec(job["code"], {"home": home, "Path": Path, "os": os})
        return 0
    from ops.cli.main import main  # noqa: PLC0415

    try:
        # As `python -m ops.cli` calls it: a name of several words.
        main(job["arguments"], prog_name="python -m ops.cli")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    return 0


def _finish(child: int, out: Any, err: Any) -> Done:
    _, status = os.waitpid(child, 0)
    texts = []
    for file in (out, err):
        file.seek(0)
        texts.append(file.read())
        file.close()
    return Done(os.waitstatus_to_exitcode(status), *texts)


if __name__ == "__main__":
    _serve()

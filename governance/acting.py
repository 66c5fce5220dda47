"""Doing parts of a command as other accounts of this machine.

Root starts such a command and touches no zone itself. Each part runs in a child process that has
given up root for good before it opens anything: whatever it makes belongs to its account, and a
link that somebody planted in a zone leads it nowhere that this account could not go by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from governance.errors import ScutariError
from governance.zones import UMASK

# Takes and gives what JSON can hold: root must not have to trust what a child says.
Steps = Generator[Any, Any, None]


class Part(Protocol):
    """Does the next step of a part and returns what it yields."""

    def __call__(self, value: Any, /) -> Any:
        """Send a value to the part; None to begin."""
        ...


@contextmanager
def part(account: str | None, steps: Steps, cut_off: ScutariError) -> Iterator[Part]:
    """Run a generator step by step, as another account where one is named.

    It ends with the context, wherever it stands: what it holds, such as a lock, it lets go.

    Args:
        account: who does it; None where this process does it itself.
        steps: the generator; it is not begun yet.
        cut_off: raised where the child is killed; a refusal of the child becomes one of its type.
    """
    if account is None:
        with contextlib.closing(steps):
            yield steps.send
        return
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        ours.close()
        _live(account, steps, theirs)
    theirs.close()
    try:
        with ours.makefile("r", encoding="utf-8") as answers:

            def ask(value: Any, /) -> Any:
                with contextlib.suppress(BrokenPipeError):
                    ours.sendall(f"{json.dumps(value)}\n".encode())
                answer = answers.readline()
                if not answer.endswith("\n"):
                    raise cut_off
                said = json.loads(answer)
                if "refusal" in said:
                    raise type(cut_off)(str(said["refusal"]))
                if "fault" in said:
                    raise type(cut_off)(f"{cut_off} It was the part of {account}: {said['fault']}.")
                return said["value"]

            yield ask
    finally:
        ours.close()
        os.waitpid(child, 0)


def _live(account: str, steps: Steps, theirs: socket.socket) -> None:
    """Be the child: answer until nobody asks any more, and never return."""
    try:
        _become(account)
        with theirs.makefile("r", encoding="utf-8") as questions:
            for question in questions:
                answer = json.dumps(_answer(steps, json.loads(question)))
                sys.stdout.flush()
                theirs.sendall(f"{answer}\n".encode())
        steps.close()
    finally:
        # Past everything that the parent would still do: this process is a part of it and no more.
        os._exit(0)


def _become(account: str) -> None:
    entry = pwd.getpwnam(account)
    os.setgroups(os.getgrouplist(account, entry.pw_gid))
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.umask(UMASK)
    os.chdir("/")
    os.environ["HOME"] = entry.pw_dir


def _answer(steps: Steps, value: Any) -> dict[str, Any]:
    try:
        return {"value": steps.send(value)}
    except ScutariError as error:
        return {"refusal": str(error)}
    except BaseException as error:
        # The text of any other error may hold a value.
        return {"fault": type(error).__name__}

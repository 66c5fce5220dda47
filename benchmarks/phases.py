"""A snapshot in a process of its own; with ``--phases`` it says where the time went.

With ``--unordered`` rows keep the source's order. With ``--bare`` keys stay as they are and codes
are not looked up, too.

Phases are measured around the project's functions, in the threads that run them: seconds of all
threads, so on two threads they may add up to more than the wall time.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

NAMES = ("profile", "read", "convert", "tokenise", "write", "codes", "reference", "digest")


class Clock:
    """Seconds per phase; a phase inside another is taken off the outer one."""

    def __init__(self) -> None:
        self.wall: Counter[str] = Counter()
        self.cpu: Counter[str] = Counter()
        self._local = threading.local()
        self._lock = threading.Lock()

    def _enter(self) -> tuple[float, float]:
        stack = self._local.__dict__.setdefault("stack", [])
        stack.append([0.0, 0.0])
        return time.perf_counter(), time.thread_time()

    def _leave(self, name: str, begun: tuple[float, float]) -> None:
        wall = time.perf_counter() - begun[0]
        cpu = time.thread_time() - begun[1]
        stack = self._local.stack
        inner_wall, inner_cpu = stack.pop()
        if stack:
            stack[-1][0] += wall
            stack[-1][1] += cpu
        with self._lock:
            self.wall[name] += wall - inner_wall
            self.cpu[name] += cpu - inner_cpu

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        @wraps(function)
        def timed(*args: Any, **named: Any) -> Any:
            begun = self._enter()
            try:
                return function(*args, **named)
            finally:
                self._leave(name, begun)

        return timed

    def around_each(self, name: str, function: Callable[..., Iterator[Any]]) -> Callable[..., Any]:
        """Return the generator function, timed only while it makes an item."""

        @wraps(function)
        def timed(*args: Any, **named: Any) -> Iterator[Any]:
            items = function(*args, **named)
            following = self.around(name, lambda: next(items, None))
            while (item := following()) is not None:
                yield item

        return timed


def _instrument(clock: Clock) -> None:
    from extract import convert, partitions, snapshot  # noqa: PLC0415
    from extract.identity import tokens  # noqa: PLC0415
    from extract.sources import postgres, sqlite  # noqa: PLC0415

    for source in (postgres.PostgresSource, sqlite.SqliteSource):
        patched: Any = source
        patched.profile = clock.around("profile", source.profile)
        patched.read = clock.around_each("read", source.read)
    for owner, attribute, name in (
        (convert.Converter, "convert", "convert"),
        (tokens.Tokeniser, "tokenise", "tokenise"),
        (partitions.ParquetFile, "write", "write"),
        (partitions.ParquetFile, "close", "write"),
        (snapshot, "describe_file", "digest"),
        (snapshot, "load_code_sets", "codes"),
        (snapshot, "reference_table_apart", "reference"),
    ):
        setattr(owner, attribute, clock.around(name, getattr(owner, attribute)))


def _strip_order() -> None:
    from extract import partitions  # noqa: PLC0415

    write = partitions.ParquetFile.write

    def write_as_it_comes(file: Any, batch: Any) -> None:
        file._key = None
        write(file, batch)

    stripped: Any = partitions.ParquetFile
    stripped.write = write_as_it_comes


def _strip_tokens_and_codes() -> None:
    from extract import convert  # noqa: PLC0415
    from extract.identity import tokens  # noqa: PLC0415

    for owner, attribute, bare in (
        (tokens.Tokeniser, "tokenise", lambda _self, values, _domain: values.cast("string")),
        (convert.Converter, "_codes_only", lambda _self, _column, array, _faults: array),
    ):
        setattr(owner, attribute, bare)


def lines(output: str) -> list[str]:
    """Return what a process with ``--phases`` found, as text."""
    found = json.loads(output)
    result = [f"where it went (one more run, {found['total']:.2f} s in the snapshot):"]
    for name in NAMES:
        wall, cpu = found["wall"].get(name, 0.0), found["cpu"].get(name, 0.0)
        result.append(f"  {name:<10} {wall:6.2f} s, of which on a processor {cpu:6.2f} s")
    return result


def main(home: Path, *options: str) -> None:
    """Take a snapshot of the installation at ``home``."""
    from extract.snapshot import take_snapshot  # noqa: PLC0415
    from governance.settings import load_settings  # noqa: PLC0415

    clock = Clock()
    if "--phases" in options:
        _instrument(clock)
    if {"--bare", "--unordered"} & set(options):
        _strip_order()
    if "--bare" in options:
        _strip_tokens_and_codes()
    begun = time.perf_counter()
    take_snapshot(load_settings(home), full="--full" in options)
    total = time.perf_counter() - begun
    print(json.dumps({"total": total, "wall": clock.wall, "cpu": clock.cpu}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])

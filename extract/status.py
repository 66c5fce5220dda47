"""What an installation has: sources, snapshots, the last build, what is published."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from extract.identity.epochs import key_of_snapshot
from extract.identity.tokens import load_or_create_key
from extract.lake import Manifest, current_directory, read_manifest, snapshot_ids
from extract.verify import amendment
from governance.errors import ScutariError
from governance.settings import Settings, SourceSettings


def describe_status(settings: Settings) -> str:
    """Return a few lines on an installation; nothing in it is checked, see ``verify_snapshot``."""
    lines = [f"home: {settings.home}{' (synthetic data)' if settings.is_synthetic else ''}"]
    lines.append("sources:")
    for source in settings.sources.values():
        lines += [f"  {line}" for line in _seen(partial(_source, source))]
    lines += ["snapshots:", *(f"  {line}" for line in _seen(lambda: list(_snapshots(settings))))]
    lines += [f"last green build: {_build(settings)}"]
    lines += [f"published: {_seen(lambda: [_published(settings)])[0]}"]
    lines.append(f"releases: {', '.join(_seen(lambda: _releases(settings))) or 'none'}")
    return "\n".join(lines)


def _seen(look: Callable[[], list[str]]) -> list[str]:
    """Return what there is to say, or that it is not for this account to see."""
    try:
        return look()
    except PermissionError as error:
        return [f"{error.filename} is closed to this account"]


def _source(source: SourceSettings) -> list[str]:
    if source.kind == "sqlite":
        is_there = source.path is not None and source.path.is_file()
        return [f"{source.name}: SQLite file {source.path}{'' if is_there else ', absent'}"]
    named = source.dsn_env or source.dsn_file
    return [f"{source.name}: PostgreSQL, schema {source.schema}, connection string in {named}"]


def _snapshots(settings: Settings) -> Iterator[str]:
    names = snapshot_ids(settings.lake)
    if not names:
        yield "none yet: take one with `scutari snapshot`"
        return
    current = current_directory(settings.lake)
    try:
        load_or_create_key(settings.vault, allow_create=False)
    except ScutariError as error:
        yield f"{', '.join(names)}; {error}"
        return
    for name in names:
        mark = " (current)" if current is not None and current.name == name else ""
        try:
            key = key_of_snapshot(settings.vault, settings.lake / name)
            yield f"{name}{mark}: {_manifest(read_manifest(settings.lake / name, key))}"
        except ScutariError as error:
            yield f"{name}{mark}: {error}"


def _manifest(manifest: Manifest) -> str:
    partitions = [
        partition
        for tables in manifest.tables.values()
        for periods in tables.values()
        for partition in periods.values()
    ]
    values = sum(item.rows for partition in partitions for item in partition.quarantined)
    dropped = sum(partition.dropped for partition in partitions)
    rows = sum(file.rows for file in manifest.files.values())
    size = sum(file.bytes for file in manifest.files.values())
    return (
        f"taken {manifest.taken_at}, {len(manifest.files):,} files, {rows:,} rows, "
        f"{size / 1e6:,.1f} MB, {values:,} values in quarantine, {dropped:,} of them "
        f"with their row{amendment(manifest.amended)}"
    )


def _build(settings: Settings) -> str:
    try:
        record = json.loads(
            (settings.builders / "warehouse.build.json").read_text(encoding="utf-8")
        )
        return f"snapshot {record['snapshot_id']}, {record['finished_at']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "none; run `scutari build`"


def _published(settings: Settings) -> str:
    link = settings.published / "current.duckdb"
    if not link.is_symlink() or not link.exists():
        return "nothing; run `scutari publish`"
    return link.resolve().name


def _releases(settings: Settings) -> list[str]:
    folder: Path = settings.release
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))

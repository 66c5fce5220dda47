"""Retention: what is old enough to go.

``[retention]`` in ``scutari.toml`` says how many snapshots stay, one of each month for how many
months, and for how many days quarantined values and maps of tokens are kept. A snapshot goes whole,
with its version of the vault and its quarantine; the current one never goes. What is not named in
the settings stays.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from extract.identity.opening import VERSIONS
from extract.identity.token_map import MAPS
from extract.identity.vault import current_version
from extract.lake import current_directory, snapshot_ids
from extract.zones import ID_FORMAT, QUARANTINE, locked, sweep
from governance.audit.log import audited
from governance.errors import SettingsError, SnapshotError
from governance.files import sync
from governance.settings import SETTINGS_FILE, RetentionSettings, Settings


@dataclass(frozen=True)
class Expired:
    """What goes: ids of snapshots, and those whose quarantine or map of tokens goes alone."""

    snapshots: tuple[str, ...] = ()
    quarantines: tuple[str, ...] = ()
    token_maps: tuple[str, ...] = ()

    def __str__(self) -> str:
        parts = (
            ("snapshots", self.snapshots),
            ("quarantines of kept snapshots", self.quarantines),
            ("maps of tokens", self.token_maps),
        )
        return "; ".join(
            f"{len(names):,} {what}{': ' if names else ''}{', '.join(names)}"
            for what, names in parts
        )


def expired(settings: Settings, now: datetime | None = None) -> Expired:
    """Return what the settings let go; nothing is changed.

    Raises:
        SettingsError: the settings have no policy.
    """
    policy = settings.retention
    if policy is None:
        raise SettingsError(
            f"{settings.home / SETTINGS_FILE} has no [retention]: say there how long to keep what "
            "(docs/erasure.md)."
        )
    now = now or datetime.now(UTC)
    names = snapshot_ids(settings.lake)
    kept = _kept(settings, policy, names)
    # A version of the vault without its snapshot is what a removal that was cut off left.
    held = {*names, *_folders(settings.vault / VERSIONS)} if policy.snapshots else set(names)
    gone = tuple(sorted(held - kept))
    return Expired(
        snapshots=gone,
        quarantines=tuple(
            name
            for name in _folders(settings.restricted / QUARANTINE)
            if name in kept
            # What still is in quarantine waits for its correction.
            and name != max(kept)
            and _is_older(name, policy.quarantine_days, now)
        ),
        token_maps=tuple(
            path.stem
            for path in sorted((settings.restricted / MAPS).glob("*.parquet"))
            if _is_older(path.stem, policy.token_map_days, now)
        ),
    )


def retain(settings: Settings, now: datetime | None = None) -> Expired:
    """Remove what the settings let go. A kill half-way is mended by the next run.

    Raises:
        AuditError: the audit log cannot be written.
        SettingsError: the settings have no policy.
        SnapshotError: a snapshot is being taken, or a file cannot be removed.
    """
    with locked(settings):
        gone = expired(settings, now)
        with audited(settings, "retain") as action:
            try:
                _remove(settings, gone)
            except OSError as error:
                raise SnapshotError(
                    f"Not all that is old could be removed under {settings.home} "
                    f"({type(error).__name__}): mend the permissions and run `scutari retain` "
                    "again."
                ) from None
            action.add(
                snapshots=len(gone.snapshots),
                quarantines=len(gone.quarantines),
                token_maps=len(gone.token_maps),
            )
    return gone


def _remove(settings: Settings, gone: Expired) -> None:
    quarantine, versions = settings.restricted / QUARANTINE, settings.vault / VERSIONS
    # The lake first: a snapshot that is still there has its version of the vault.
    zones = (settings.lake, versions, quarantine)
    places = [zone / name for name in gone.snapshots for zone in zones]
    places += [quarantine / name for name in gone.quarantines]
    for place in places:
        if place.is_dir():
            # Hidden first: what is half removed is nothing, and the next run sweeps it away.
            hidden = place.with_name(f".{place.name}.tmp")
            os.rename(place, hidden)
            sync(place.parent)
            shutil.rmtree(hidden)
    for name in gone.token_maps:
        (settings.restricted / MAPS / f"{name}.parquet").unlink()
    sweep(settings)


def _kept(settings: Settings, policy: RetentionSettings, names: list[str]) -> set[str]:
    """Return the snapshots that stay: the current one, the newest, the last of each month."""
    current = current_directory(settings.lake), current_version(settings.vault)
    kept = {directory.name for directory in current if directory is not None}
    if policy.snapshots is None:
        return kept | set(names)
    kept |= set(names[-policy.snapshots :])
    last_of_month = {name[:6]: name for name in names}
    months = sorted(last_of_month)[-policy.months :] if policy.months else []
    return kept | {last_of_month[month] for month in months}


def _is_older(name: str, days: int | None, now: datetime) -> bool:
    try:
        taken = datetime.strptime(name, ID_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return False
    return days is not None and now - taken > timedelta(days=days)


def _folders(parent: Path) -> list[str]:
    if not parent.is_dir():
        return []
    return sorted(p.name for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))

"""Retention: what is old enough to go.

``[retention]`` in ``scutari.toml`` says how many snapshots stay, one of each month for how many
months, for how many days quarantined values, maps of tokens and review lists are kept, and for how
many months the rows of a table. A snapshot goes whole, with its version of the vault and its
quarantine; the current one never goes. Rows that are too old leave every snapshot that stays. What
is not named in the settings stays.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from extract.erasure.held import open_zones
from extract.erasure.state import require_applied_to_zones
from extract.expiry.amend import ExpiryAmender, Finder
from extract.expiry.policy import clock, rules_of
from extract.identity.matching.grouping import REVIEW
from extract.identity.opening import VERSIONS
from extract.identity.token_map import MAPS
from extract.identity.vault import current_version
from extract.lake import current_directory, snapshot_ids
from extract.zones import ID_FORMAT, QUARANTINE, locked, sweep
from governance.audit.events import about
from governance.audit.log import audited
from governance.errors import SettingsError, SnapshotError
from governance.files import sync
from governance.settings import SETTINGS_FILE, RetentionSettings, Settings


@dataclass(frozen=True)
class Expired:
    """What goes.

    Attributes:
        snapshots: whole.
        quarantines: of snapshots that stay.
        token_maps: named by the snapshot that they lead to.
        reviews: lists of uncertain pairs, named by their snapshot.
        amended: snapshots that stay and lose rows.
        rows: rows of the newest snapshot, in quarantine or not, by table.
    """

    snapshots: tuple[str, ...] = ()
    quarantines: tuple[str, ...] = ()
    token_maps: tuple[str, ...] = ()
    reviews: tuple[str, ...] = ()
    amended: tuple[str, ...] = ()
    rows: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        parts = (
            ("snapshots", self.snapshots),
            ("quarantines of kept snapshots", self.quarantines),
            ("maps of tokens", self.token_maps),
            ("lists of uncertain pairs", self.reviews),
            ("snapshots lose rows", self.amended),
        )
        rows = ", ".join(f"{name} {count:,}" for name, count in self.rows.items()) or "none"
        lines = [
            f"{len(names):,} {what}{': ' if names else ''}{', '.join(names)}"
            for what, names in parts
        ]
        return "; ".join([*lines, f"rows of the newest snapshot: {rows}"])


def expired(settings: Settings, now: datetime | None = None) -> Expired:
    """Return what the settings let go; nothing is changed.

    Raises:
        ErasureError: erasures must be applied first.
        SettingsError: the settings have no policy, or one that no table can have.
        SnapshotError: a snapshot is being taken.
    """
    gone = _whole(settings, now or clock())
    if not _policy(settings).tables:
        return gone
    with locked(settings):
        return _old_rows(settings, gone, now or clock(), is_dry=True)


def retain(settings: Settings, now: datetime | None = None) -> Expired:
    """Remove what the settings let go. A kill half-way is mended by the next run.

    Raises:
        AuditError: the audit log cannot be written.
        ErasureError: erasures must be applied first.
        SettingsError: the settings have no policy, or one that no table can have.
        SnapshotError: a snapshot is being taken, or a file cannot be removed or written.
    """
    with locked(settings):
        gone = _whole(settings, now or clock())
        with audited(settings, "retain") as action:
            try:
                _remove(settings, gone)
                if _policy(settings).tables:
                    gone = _old_rows(settings, gone, now or clock(), is_dry=False)
            except OSError as error:
                raise SnapshotError(
                    f"Not all that is old could be removed under {settings.home} "
                    f"({type(error).__name__}): free space or mend the permissions and run "
                    "`scutari retain` again."
                ) from None
            action.add(
                snapshots=len(gone.snapshots),
                quarantines=len(gone.quarantines),
                token_maps=len(gone.token_maps),
                reviews=len(gone.reviews),
                amended=len(gone.amended),
                rows=about(sum(gone.rows.values())),
            )
    return gone


def _policy(settings: Settings) -> RetentionSettings:
    if settings.retention is None:
        raise SettingsError(
            f"{settings.home / SETTINGS_FILE} has no [retention]: say there how long to keep what "
            "(docs/erasure.md)."
        )
    return settings.retention


def _whole(settings: Settings, now: datetime) -> Expired:
    """Return which directories and files go."""
    policy = _policy(settings)
    names = snapshot_ids(settings.lake)
    kept = _kept(settings, policy, names)
    # A version of the vault without its snapshot is what a removal that was cut off left.
    held = {*names, *_folders(settings.vault / VERSIONS)} if policy.snapshots else set(names)

    def old(folder: Path, days: int | None) -> tuple[str, ...]:
        # What is of the newest snapshot waits for its correction or its decision.
        names = [name for name in _folders(folder) if name in kept and name != max(kept)]
        return tuple(name for name in names if _is_older(name, days, now))

    return Expired(
        snapshots=tuple(sorted(held - kept)),
        quarantines=old(settings.restricted / QUARANTINE, policy.quarantine_days),
        token_maps=tuple(
            path.stem
            for path in sorted((settings.restricted / MAPS).glob("*.parquet"))
            if _is_older(path.stem, policy.token_map_days, now)
        ),
        reviews=old(settings.restricted / REVIEW, policy.review_days),
    )


def _remove(settings: Settings, gone: Expired) -> None:
    quarantine, versions = settings.restricted / QUARANTINE, settings.vault / VERSIONS
    # The lake first: a snapshot that is still there has its version of the vault.
    zones = (settings.lake, versions, quarantine)
    places = [zone / name for name in gone.snapshots for zone in zones]
    places += [quarantine / name for name in gone.quarantines]
    places += [settings.restricted / REVIEW / name for name in gone.reviews]
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


def _old_rows(settings: Settings, gone: Expired, now: datetime, *, is_dry: bool) -> Expired:
    """Find the rows that are too old in every snapshot that stays, and take them out."""
    if not snapshot_ids(settings.lake):
        return gone
    with open_zones(settings) as held:
        require_applied_to_zones(settings, held.keyring)
        rules = rules_of(settings, [b.table for b in held.tables.values()], now)
        finder, amender = Finder(held, rules), ExpiryAmender(held, rules)
        amended: list[str] = []
        rows: Counter[str] = Counter()
        for snapshot in held.snapshots:
            if snapshot.name in gone.snapshots:
                continue
            old = finder.find(snapshot)
            rows = old.rows(finder.tables)
            if rows:
                amended.append(snapshot.name)
                if not is_dry:
                    amender.expire(snapshot, old)
    return replace(gone, amended=tuple(amended), rows=dict(sorted(rows.items())))


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

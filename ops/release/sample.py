"""Who is in a release: drawn by the release account with a key that nobody else has.

Every profile has a slice of the persons of its own, and all slices together are half of them at
most: two releases of different profiles hold nobody in common, and the union of all releases never
holds more than that half. Every release leaves another tenth of its slice out, so that a person who
came between two of them is one of many who appear.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from heapq import nsmallest
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from extract.lake import snapshot_directory
from governance.errors import PublicationError
from governance.key_files import KEY_BYTES, read_key, write_key
from governance.settings import Settings
from ops.release.profiles import Profile

ACCOUNT = ".account"
KEY_FILE = "sample.key"
WITHDRAWN_FILE = "withdrawn_persons.txt"
_SPAN = 2**64


def known_persons(settings: Settings, snapshot_id: str) -> list[str]:
    """Return the ids of all persons of a snapshot."""
    pattern = snapshot_directory(settings.lake, snapshot_id) / "identity" / "person_map"
    with duckdb.connect() as connection:
        rows = connection.execute(
            "select distinct person_key from read_parquet($1) where person_key is not null",
            [str(pattern / "*.parquet")],
        ).fetchall()
    return [str(row[0]) for row in rows]


def draw_sample(settings: Settings, profile: Profile, persons: list[str]) -> pa.Table:
    """Draw the persons of one release, each with the days its dates are moved by.

    Returns:
        person_key and shift_days (0 where the profile shows no dates), in random order.

    Raises:
        KeyFileError: the key can be read by others.
        PublicationError: a person who withdrew is not known under that id.
    """
    key = _sample_key(settings.release / ACCOUNT)
    withdrawn = _withdrawn(settings.release / ACCOUNT / WITHDRAWN_FILE, set(persons))
    start = int(profile.sample_from * _SPAN)
    end = int((profile.sample_from + profile.sample_share) * _SPAN)
    mine = [
        person
        for person in persons
        if person not in withdrawn and start <= _drawn_number(key, person) < end
    ]
    kept = _random(len(mine)) >= np.uint64(int(profile.redrawn_share * _SPAN))
    chosen = [person for person, is_kept in zip(mine, kept, strict=True) if is_kept]
    choices = 2 * profile.shift_days + 1
    shifts = (_random(len(chosen)) % np.uint64(choices)).astype(np.int32) - profile.shift_days
    return pa.table(
        {
            "person_key": pa.array(chosen, pa.string()),
            "shift_days": pa.array(shifts.astype(np.int32), pa.int32()),
        }
    )


def draw_targets(settings: Settings, persons: Sequence[str], count: int) -> list[str]:
    """Draw persons to try an attack on: the same ones again, and nobody without the key knows whom.

    Raises:
        KeyFileError: the key can be read by others.
    """
    key = hmac.digest(_sample_key(settings.release / ACCOUNT), b"targets of attacks", "sha256")
    return nsmallest(count, persons, key=lambda person: _drawn_number(key, person))


def seed_of_noise(settings: Settings) -> int:
    """Return a seed for what an attacker gets wrong: always the same, and the account's own.

    Raises:
        KeyFileError: the key can be read by others.
    """
    return _drawn_number(_sample_key(settings.release / ACCOUNT), "noise of attacks")


def write_sample(database: Path, sample: pa.Table) -> None:
    """Put the sample into the release account's own database, where the models look for it."""
    with duckdb.connect(str(database)) as connection:
        connection.register("drawn", sample)
        connection.execute("create schema release_account")
        connection.execute("create table release_account.sampled_persons as from drawn")


def _drawn_number(key: bytes, person: str) -> int:
    return int.from_bytes(hmac.digest(key, person.encode(), "sha256")[:8], "big")


def _random(count: int) -> np.ndarray[Any, np.dtype[np.uint64]]:
    return np.frombuffer(secrets.token_bytes(8 * count), dtype=np.uint64)


def _sample_key(account: Path) -> bytes:
    path = account / KEY_FILE
    key = read_key(path, "key of the release sample")
    if key is None:
        key = secrets.token_bytes(KEY_BYTES)
        write_key(path, key)
    return key


def _withdrawn(path: Path, known: set[str]) -> set[str]:
    """Read who withdrew consent. An id that is not known may be an old one of somebody merged."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return set()
    withdrawn = {line.strip() for line in lines if line.strip()}
    strangers = len(withdrawn - known)
    if strangers:
        raise PublicationError(
            f"{path} names {strangers} persons whom the snapshot does not know: write the id that "
            "a merged person has now, and take erased persons out."
        )
    return withdrawn

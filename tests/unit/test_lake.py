"""The lake's own promises: a manifest nobody can edit, and a link that is never half switched."""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from extract import lake
from extract.identity.tokens import load_or_create_key
from extract.lake import (
    CURRENT,
    MANIFEST,
    current_directory,
    read_manifest,
    sha256_of,
    snapshot_directory,
    snapshot_ids,
    switch,
    write_manifest,
)
from governance.errors import KeyFileError, SnapshotError
from governance.settings import Settings
from tests.helpers.small_snapshot import FILE, JULY, JUNE, NAME, small_settings, write_snapshot


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = small_settings(tmp_path)
    write_snapshot(made)
    return made


@pytest.fixture
def key(settings: Settings) -> bytes:
    return load_or_create_key(settings.vault, allow_create=False)


def _places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every value in a JSON document that is no mapping and no list."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    else:
        yield place
    for name, item in items:
        yield from _places(item, (*place, name))


def _parent(body: Any, place: tuple[Any, ...]) -> Any:
    for name in place[:-1]:
        body = body[name]
    return body


def _is_refused(directory: Path, key: bytes, body: dict[str, Any]) -> bool:
    (directory / MANIFEST).write_text(json.dumps(body), encoding="utf-8")
    try:
        read_manifest(directory, key)
    except (SnapshotError, KeyFileError):
        return True
    return False


def test_a_manifest_comes_back_as_it_was_written(settings: Settings, key: bytes) -> None:
    manifest = write_snapshot(settings, "20260702T031500Z")
    assert read_manifest(settings.lake / "20260702T031500Z", key) == manifest
    assert manifest.partition("ehr", "visits", "2026-06") == JUNE
    assert manifest.partition("ehr", "visits", "2026-07") == JULY
    for place in (("ehr", "visits", "2026-08"), ("ehr", "beds", "all"), ("lab", "visits", "all")):
        assert manifest.partition(*place) is None


def test_no_value_of_a_manifest_can_be_edited(settings: Settings, key: bytes) -> None:
    """Every single value is changed in turn, and every one taken out."""
    directory = settings.lake / NAME
    body = json.loads((directory / MANIFEST).read_text(encoding="utf-8"))
    places = list(_places(body))
    # Nine of the whole and its signature, three of each file, fifteen of June, five of July.
    assert len(places) == 9 + 1 + 2 * 3 + 15 + 5
    for place in places:
        changed = copy.deepcopy(body)
        old = _parent(changed, place)[place[-1]]
        _parent(changed, place)[place[-1]] = (
            f"{old}0" if isinstance(old, str) else int(old or 0) + 1
        )
        assert _is_refused(directory, key, changed), place
        shorter = copy.deepcopy(body)
        del _parent(shorter, place)[place[-1]]
        assert _is_refused(directory, key, shorter), place
    assert not _is_refused(directory, key, body)


def _forget_file(body: dict[str, Any]) -> None:
    del body["files"][FILE]


def _forget_quarantine(body: dict[str, Any]) -> None:
    body["tables"]["ehr"]["visits"]["2026-06"]["quarantined"] = []


def _swap_files(body: dict[str, Any]) -> None:
    first, second = body["files"]
    files = body["files"]
    files[first], files[second] = files[second], files[first]


def _add_word(body: dict[str, Any]) -> None:
    body["note"] = "checked"


@pytest.mark.parametrize("edit", [_forget_file, _forget_quarantine, _swap_files, _add_word])
def test_no_part_of_a_manifest_can_be_moved(
    settings: Settings, key: bytes, edit: Callable[[dict[str, Any]], None]
) -> None:
    path = settings.lake / NAME / MANIFEST
    body = json.loads(path.read_text(encoding="utf-8"))
    edit(body)
    path.write_text(json.dumps(body), encoding="utf-8")
    with pytest.raises(SnapshotError, match="signature does not fit"):
        read_manifest(settings.lake / NAME, key)


def test_a_manifest_signed_with_another_key_is_refused(settings: Settings, key: bytes) -> None:
    """Somebody without the key signs with one of their own, but names the installation's."""
    manifest = read_manifest(settings.lake / NAME, key)
    write_manifest(settings.lake / NAME, manifest, bytes(32))
    with pytest.raises(SnapshotError, match="signature does not fit"):
        read_manifest(settings.lake / NAME, key)


def test_another_format_is_named(
    settings: Settings, key: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake, "FORMAT", lake.FORMAT + 1)
    with pytest.raises(SnapshotError, match="another format"):
        read_manifest(settings.lake / NAME, key)


def test_the_link_moves_to_the_new_snapshot(settings: Settings) -> None:
    assert current_directory(settings.lake) == settings.lake / NAME
    write_snapshot(settings, "20260702T031500Z")
    assert os.readlink(settings.lake / CURRENT) == "20260702T031500Z"
    assert snapshot_directory(settings.lake, None) == settings.lake / "20260702T031500Z"
    assert snapshot_directory(settings.lake, NAME) == settings.lake / NAME


def test_a_switch_cut_short_leaves_the_old_link(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings.lake / "20260702T031500Z").mkdir()

    def cut(*_: object) -> None:
        raise OSError("power cut")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", cut)
        with pytest.raises(OSError, match="power cut"):
            switch(settings.lake / CURRENT, "20260702T031500Z")
    assert os.readlink(settings.lake / CURRENT) == NAME
    # What the first attempt left lying does not keep the second from its work.
    switch(settings.lake / CURRENT, "20260702T031500Z")
    assert os.readlink(settings.lake / CURRENT) == "20260702T031500Z"
    assert [p.name for p in settings.lake.iterdir() if p.name.startswith(".")] == []


def test_only_whole_snapshots_are_listed(settings: Settings, tmp_path: Path) -> None:
    write_snapshot(settings, "20260630T031500Z")
    (settings.lake / ".20260703T031500Z.tmp").mkdir()
    (settings.lake / ".snapshot.lock").touch()
    (settings.lake / "notes.txt").touch()
    assert snapshot_ids(settings.lake) == ["20260630T031500Z", NAME]
    assert snapshot_ids(tmp_path / "absent") == []


def test_a_link_to_nothing_is_no_snapshot(settings: Settings) -> None:
    switch(settings.lake / CURRENT, "20260101T000000Z")
    assert current_directory(settings.lake) is None
    with pytest.raises(SnapshotError, match="take one with `scutari snapshot`"):
        snapshot_directory(settings.lake, None)


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 21) + 1])
def test_a_file_of_any_size_is_hashed_whole(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "file").write_bytes(data)
    assert sha256_of(tmp_path / "file") == hashlib.sha256(data).hexdigest()

"""Master keys in files or behind a service, and what a new one opens and an old one does not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from extract.identity.key_provider import FileKeys, KeyProvider, load_provider
from extract.identity.keyring import KEYRING, create_keyring, read_keyring, rotate
from governance.errors import KeyFileError, SettingsError
from governance.settings import PROJECT_ROOT, KeySettings, Settings, load_settings
from tests.helpers.vault import Service

SERVICE = "tests.helpers.vault:Service"


def settings_of(home: Path, keys: KeySettings) -> Settings:
    return Settings(home=home, keys=keys)


@pytest.fixture(params=["files", "service"])
def provider(request: pytest.FixtureRequest, tmp_path: Path) -> KeyProvider:
    if request.param == "files":
        return FileKeys(tmp_path / "keys")
    return load_provider(
        settings_of(tmp_path, KeySettings(provider=SERVICE, options={"url": str(tmp_path)}))
    )


def test_what_was_locked_opens(provider: KeyProvider, tmp_path: Path) -> None:
    made = create_keyring(tmp_path, provider)
    assert read_keyring(tmp_path, provider) == made
    text = (tmp_path / KEYRING).read_text()
    assert made.master_key_id in text
    for key in made.data_keys.values():
        assert key.hex() not in text
        assert key.hex() not in repr(made)
    assert (tmp_path / KEYRING).stat().st_mode & 0o777 == 0o600


def test_a_new_master_key_opens_everything_and_the_old_one_nothing(
    provider: KeyProvider, tmp_path: Path
) -> None:
    before = create_keyring(tmp_path, provider)
    old, new = rotate(tmp_path, provider)
    assert old == before.master_key_id != new
    after = read_keyring(tmp_path, provider)
    assert before.data_keys.items() < after.data_keys.items()
    assert after.active not in before.data_keys
    wrapped = json.loads((tmp_path / KEYRING).read_text())
    wrapped["master_key_id"] = old
    (tmp_path / KEYRING).write_text(json.dumps(wrapped))
    with pytest.raises(KeyFileError):
        read_keyring(tmp_path, provider)


def test_the_old_key_file_can_be_destroyed(tmp_path: Path) -> None:
    keys = FileKeys(tmp_path / "keys")
    create_keyring(tmp_path, keys)
    old, new = rotate(tmp_path, keys)
    (tmp_path / "keys" / f"{old}.key").unlink()
    assert read_keyring(tmp_path, keys).master_key_id == new
    (tmp_path / "keys" / f"{new}.key").unlink()
    with pytest.raises(KeyFileError, match=rf"{new}\.key is missing"):
        read_keyring(tmp_path, keys)


def test_a_service_that_forgot_the_key_is_one_sentence(tmp_path: Path) -> None:
    service = Service({"url": str(tmp_path)})
    made = create_keyring(tmp_path, service)
    Service.keys[str(tmp_path)].clear()
    with pytest.raises(KeyFileError) as caught:
        read_keyring(tmp_path, service)
    assert str(caught.value) == (
        f"The key provider could not open the vault with the master key {made.master_key_id} "
        "(KeyError): make sure that it is in reach and has the key, or restore the key from its "
        "backup."
    )


class Forgetful(Service):
    """Locks with a key that it then loses."""

    def wrap(self, master_key_id: str, data_key: bytes, context: bytes) -> bytes:
        wrapped = super().wrap(master_key_id, data_key, context)
        if master_key_id != "kms/1":
            self._keys[master_key_id] = bytes(32)
        return wrapped


def test_a_key_that_does_not_open_what_it_locked_changes_nothing(tmp_path: Path) -> None:
    service = Forgetful({"url": str(tmp_path)})
    made = create_keyring(tmp_path, service)
    text = (tmp_path / KEYRING).read_bytes()
    with pytest.raises(KeyFileError):
        rotate(tmp_path, service)
    assert (tmp_path / KEYRING).read_bytes() == text
    assert read_keyring(tmp_path, service) == made


@pytest.mark.parametrize("name", ["signature", "active", "plain_versions", "data_keys", "format"])
def test_an_edited_keyring_is_refused(provider: KeyProvider, tmp_path: Path, name: str) -> None:
    create_keyring(tmp_path, provider)
    rotate(tmp_path, provider)
    body = json.loads((tmp_path / KEYRING).read_text())
    one, other = body["data_keys"]
    edits = {
        "signature": "ü",
        "active": one if body["active"] == other else other,
        "plain_versions": ["20260101T000000Z"],
        "data_keys": {body["active"]: body["data_keys"][body["active"]]},
        "format": 2,
    }
    (tmp_path / KEYRING).write_text(json.dumps(body | {name: edits[name]}))
    with pytest.raises(KeyFileError, match="is not as it was written"):
        read_keyring(tmp_path, provider)
    swapped = {one: body["data_keys"][other], other: body["data_keys"][one]}
    (tmp_path / KEYRING).write_text(json.dumps(body | {"data_keys": swapped}))
    with pytest.raises(KeyFileError):
        read_keyring(tmp_path, provider)


KILL = """
import os, signal, sys
from pathlib import Path
from extract.identity import keyring
from extract.identity.key_provider import FileKeys
home, left = Path(sys.argv[1]), int(sys.argv[2])
def counted(real):
    def call(*arguments, **named):
        global left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return real(*arguments, **named)
    return call
for name in ("open", "fsync", "replace", "rename"):
    setattr(os, name, counted(getattr(os, name)))
Path.rename = counted(Path.rename)
keyring.rotate(home, FileKeys(home / "keys"))
print(left)
"""


def _kill(home: Path, left: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", KILL, str(home), str(left)],
        cwd=PROJECT_ROOT,
        env=os.environ | {"PYTHONPATH": str(PROJECT_ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_kill_at_any_step_of_a_rotation_leaves_a_vault_that_opens(tmp_path: Path) -> None:
    """Killed before the first, second, ... call that reaches the disk, until none is left."""
    keys = FileKeys(tmp_path / "keys")
    first = create_keyring(tmp_path, keys)
    names = set()
    for left in range(50):
        done = _kill(tmp_path, left)
        ring = read_keyring(tmp_path, keys)
        assert first.data_keys.items() <= ring.data_keys.items()
        names.add(ring.master_key_id)
        if done.returncode == 0:
            break
        assert done.returncode == -signal.SIGKILL, done.stderr
    assert left > 6
    assert len(names) > 1


class NoOptions:
    """Cannot be made with options."""


class HalfAProvider:
    """Has not all methods."""

    def __init__(self, options: Mapping[str, str]) -> None:
        self.options = options

    def create(self) -> str:
        return "x"


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tests.no_such_module:Service", r"could not be loaded \(ModuleNotFoundError\)"),
        ("tests.helpers.vault:Nothing", r"could not be loaded \(AttributeError\)"),
        ("tests.helpers.vault:Service", r"could not be loaded \(KeyError\)"),
        ("tests.unit.test_keyring:NoOptions", r"could not be loaded \(TypeError\)"),
        ("tests.unit.test_keyring:HalfAProvider", "has not all of the methods"),
    ],
)
def test_a_plug_in_that_does_not_fit_is_one_sentence(
    tmp_path: Path, name: str, sentence: str
) -> None:
    with pytest.raises(SettingsError, match=sentence) as caught:
        load_provider(settings_of(tmp_path, KeySettings(provider=name)))
    assert name in str(caught.value)
    assert "scutari.toml" in str(caught.value)


HEAD = '[sources.ehr]\nkind = "sqlite"\npath = "x.sqlite"\n'


def test_settings_name_the_keys(tmp_path: Path) -> None:
    path = tmp_path / "scutari.toml"
    path.write_text(HEAD)
    assert load_settings(tmp_path).keys == KeySettings()
    path.write_text(HEAD + '[vault]\nkey_directory = "elsewhere"\n')
    settings = load_settings(tmp_path)
    assert settings.keys.directory == tmp_path / "elsewhere"
    name = load_provider(settings).create()
    assert (tmp_path / "elsewhere" / f"{name}.key").is_file()
    path.write_text(HEAD + f'[vault]\nkey_provider = "{SERVICE}"\noptions = {{url = "u"}}\n')
    assert isinstance(load_provider(load_settings(tmp_path)), Service)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("vault = 1\n" + HEAD, "must be a table"),
        (HEAD + "[vault]\nkey = 'x'\n", "unknown settings: key"),
        (HEAD + "[vault]\nkey_directory = 1\n", "key_directory must be a text"),
        (HEAD + "[vault]\nkey_directory = ''\n", "key_directory must be a text"),
        (HEAD + "[vault]\noptions = 'x'\n", "options must be a table"),
        (HEAD + "[vault.options]\nport = 1\n", "port must be a text"),
        (HEAD + "[vault]\nkey_provider = 'kms'\n", "needs key_provider"),
        (HEAD + "[vault]\nkey_provider = 'a:B'\nkey_directory = 'x'\n", "choose one"),
    ],
)
def test_settings_of_the_vault_that_do_not_fit(tmp_path: Path, body: str, sentence: str) -> None:
    (tmp_path / "scutari.toml").write_text(body)
    with pytest.raises(SettingsError, match=sentence):
        load_settings(tmp_path)

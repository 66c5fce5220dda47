"""Tokens: one record one token, nothing without the key, and the key file's own rules."""

import hashlib
import hmac
import stat
from pathlib import Path

import pyarrow as pa
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given
from hypothesis import strategies as st

from extract.identity.tokens import (
    KEY_FILE,
    Tokeniser,
    derive_key,
    key_id,
    load_or_create_key,
    token_order,
)
from governance.errors import KeyFileError

KEY = bytes(range(32))


def token_by_hand(block: bytes, domain: str) -> str:
    """The definition once more, with Python's integers instead of numpy's columns."""
    cipher = Cipher(algorithms.AES(derive_key(KEY, f"token {domain}")), modes.ECB())
    return "a" + cipher.encryptor().update(block)[:10].hex()[1:]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), max_size=20))
def test_integers_follow_the_definition(values: list[int | None]) -> None:
    tokens = Tokeniser(KEY).tokenise(pa.array(values, pa.int64()), "ehr.ed_visit").to_pylist()
    expected = [
        None
        if value is None
        else token_by_hand(
            value.to_bytes(8, "little", signed=True) + bytes(7) + b"\xff", "ehr.ed_visit"
        )
        for value in values
    ]
    assert tokens == expected


@given(st.lists(st.one_of(st.none(), st.text(max_size=20)), max_size=20), st.integers(0, 5))
def test_texts_follow_the_definition(values: list[str | None], skipped: int) -> None:
    array = pa.array(values, pa.string()).slice(skipped)
    tokens = Tokeniser(KEY).tokenise(array, "d").to_pylist()
    for value, token in zip(values[skipped:], tokens, strict=True):
        if value is None:
            assert token is None
            continue
        data = value.encode()
        if len(data) <= 15:
            assert token == token_by_hand(data.ljust(15, b"\0") + bytes([len(data)]), "d")
        else:
            digest = hmac.digest(derive_key(KEY, "long token d"), data, hashlib.sha256)
            assert token == "a" + digest[:10].hex()[1:]


HEX = st.text("0123456789abcdef", min_size=20, max_size=20)
# Some with sixteen digits in common, some that are no tokens.
ALIKE = st.text("0123456789abcdef", min_size=4, max_size=4).map(lambda end: "a" * 16 + end)


@given(
    st.one_of(
        st.lists(HEX, max_size=20, unique=True),
        st.lists(st.one_of(HEX, ALIKE), max_size=20, unique=True),
        st.lists(st.one_of(HEX, st.text(max_size=20)), max_size=20, unique=True),
    ),
    st.integers(0, 3),
)
def test_rows_are_put_in_the_order_of_their_tokens(values: list[str], skipped: int) -> None:
    found = token_order(pa.array(values, pa.string())[skipped:])
    kept = values[skipped:]
    assert [kept[place] for place in found] == sorted(kept, key=lambda text: text.encode())


def test_domains_and_keys_share_no_token() -> None:
    one, other = Tokeniser(KEY), Tokeniser(bytes(32))
    tokens = {
        one.tokenise_one(7, "ehr.patient"),
        one.tokenise_one(7, "ehr.ed_visit"),
        one.tokenise_one("7", "ehr.patient"),
        other.tokenise_one(7, "ehr.patient"),
    }
    assert len(tokens) == 4


def test_a_key_is_made_once_with_safe_permissions(tmp_path: Path) -> None:
    vault = tmp_path / "vault"
    key = load_or_create_key(vault, allow_create=True)
    assert stat.S_IMODE((vault / KEY_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(vault.stat().st_mode) == 0o700
    assert load_or_create_key(vault, allow_create=True) == key
    assert key.hex() not in key_id(key)


def test_a_missing_key_is_not_replaced_once_used(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="is missing"):
        load_or_create_key(tmp_path, allow_create=False)
    assert not (tmp_path / KEY_FILE).exists()


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path, allow_create=True)
    (tmp_path / KEY_FILE).chmod(0o640)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_or_create_key(tmp_path, allow_create=True)


def test_a_key_of_another_length_is_refused(tmp_path: Path) -> None:
    load_or_create_key(tmp_path, allow_create=True)
    (tmp_path / KEY_FILE).write_bytes(b"short")
    with pytest.raises(KeyFileError, match="5 bytes"):
        load_or_create_key(tmp_path, allow_create=True)

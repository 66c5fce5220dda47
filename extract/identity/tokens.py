"""Keyed tokens for record keys: the same record always gets the same token, and only with the key.

A token is twenty hexadecimal digits: one for the key's epoch, then 76 bits of AES-256 over one
16-byte block that holds the record key. AES on a single block is a pseudorandom permutation, so it
does for short keys what HMAC does, without a Python call per value. Keys too long for a block go
through HMAC-SHA-256 instead. Each key domain (``ehr.ed_visit``) has a
key of its own, derived with HKDF (RFC 5869), so equal numbers in two domains share nothing.
Reasons and the chance of a collision are in ``docs/adr/0003-tokens.md``.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from governance.errors import KeyFileError
from governance.key_files import KEY_BYTES, read_key, write_key

KEY_FILE = "token.key"
EPOCH = 0xA
TOKEN_BYTES = 10
TOKEN_LENGTH = 2 * TOKEN_BYTES
TOKEN_PATTERN = f"^[0-9a-f]{{{TOKEN_LENGTH}}}$"

_BLOCK = 16
_LONGEST_TEXT_IN_BLOCK = _BLOCK - 1
_INTEGER_MARK = 0xFF


def key_id(key: bytes) -> str:
    """Return a public name of a key, from which the key cannot be found."""
    return _expand(key, b"scutari key id", 8).hex()


def derive_key(key: bytes, purpose: str) -> bytes:
    """Return a 32-byte key for one purpose (HKDF-Expand, RFC 5869)."""
    return _expand(key, b"scutari " + purpose.encode(), KEY_BYTES)


def load_or_create_key(vault: Path, *, allow_create: bool) -> bytes:
    """Read the token key of an installation, or make it on the first run.

    Args:
        vault: the vault's directory; the key is ``token.key`` in it.
        allow_create: whether a missing key may be made; only before anything was tokenised.

    Raises:
        KeyFileError: the key is missing though it was used before, can be read by others than its
            owner, or has not the length of a key.
    """
    path = vault / KEY_FILE
    key = read_key(path, "token key")
    if key is not None:
        return key
    if not allow_create:
        raise KeyFileError(
            f"The token key {path} is missing, but the vault was filled with one: restore it "
            "from the backup; a new key would give every record another token."
        )
    key = os.urandom(KEY_BYTES)
    write_key(path, key)
    return key


class Tokeniser:
    """Turns columns of record keys into columns of tokens.

    Args:
        key: the installation's token key.
        epoch: the digit that the tokens begin with; the next key has the next one.
    """

    def __init__(self, key: bytes, epoch: int = EPOCH) -> None:
        self._key = key
        self._epoch = epoch
        self._ciphers: dict[str, Cipher[modes.ECB]] = {}

    def tokenise(self, values: pa.Array, domain: str) -> pa.Array:
        """Return the tokens of an array of integers or strings; null stays null.

        An integer and its decimal text have different tokens: the contract's source type decides.

        Args:
            values: shape (n,), any integer type or string.
            domain: the key domain, such as ``ehr.ed_visit``.
        """
        if pa.types.is_integer(values.type):
            blocks = _integer_blocks(values)
            long = None
        else:
            values = values.cast(pa.string())
            blocks, long = _text_blocks(values)
        encryptor = self._cipher(domain).encryptor()
        cipher = np.frombuffer(encryptor.update(blocks.tobytes()), dtype=np.uint8)
        cipher = cipher.reshape(-1, _BLOCK)
        if long is not None and len(long):
            cipher = cipher.copy()
            secret = derive_key(self._key, f"long token {domain}")
            for index in long:
                text = str(values[int(index)].as_py()).encode()
                digest = hmac.digest(secret, text, hashlib.sha256)
                cipher[index] = np.frombuffer(digest[:_BLOCK], dtype=np.uint8)
        return _encode(cipher, values, self._epoch)

    def tokenise_one(self, value: int | str, domain: str) -> str:
        """Return the token of one record key."""
        return str(self.tokenise(pa.array([value]), domain)[0].as_py())

    def _cipher(self, domain: str) -> Cipher[modes.ECB]:
        if domain not in self._ciphers:
            secret = derive_key(self._key, f"token {domain}")
            # One block per record and no two equal blocks in a domain: ECB hides all there is.
            self._ciphers[domain] = Cipher(algorithms.AES(secret), modes.ECB())
        return self._ciphers[domain]


def token_order(tokens: pa.Array) -> npt.NDArray[np.intp]:
    """Return the positions of tokens in ascending order.

    The order of their first sixteen digits as one number, which is less work than comparing texts;
    as texts only where two have these digits in common or a value is not a token.

    Args:
        tokens: shape (n,), strings.
    """
    lengths = pc.equal(pc.binary_length(tokens), TOKEN_LENGTH)
    if len(tokens) and not tokens.null_count and pc.all(lengths).as_py():
        begin = int(np.frombuffer(tokens.buffers()[1], dtype=np.int32)[tokens.offset])
        text = memoryview(tokens.buffers()[2])[begin : begin + len(tokens) * TOKEN_LENGTH]
        try:
            raw = np.frombuffer(binascii.unhexlify(text), dtype=np.uint8)
        except binascii.Error:
            pass
        else:
            heads = np.ascontiguousarray(raw.reshape(-1, TOKEN_BYTES)[:, :8]).view(">u8").ravel()
            heads = heads.astype(np.uint64)
            order = np.argsort(heads)
            if (heads[order[1:]] > heads[order[:-1]]).all():
                return order
    positions: npt.NDArray[np.intp] = pc.sort_indices(tokens).to_numpy().astype(np.intp)
    return positions


def _expand(key: bytes, info: bytes, length: int) -> bytes:
    return HKDFExpand(algorithm=SHA256(), length=length, info=info).derive(key)


def _integer_blocks(values: pa.Array) -> npt.NDArray[np.uint8]:
    numbers = pc.fill_null(values.cast(pa.int64()), 0).to_numpy(zero_copy_only=False)
    blocks = np.zeros((len(numbers), _BLOCK), dtype=np.uint8)
    blocks[:, :8] = numbers.astype("<i8").view(np.uint8).reshape(-1, 8)
    blocks[:, _LONGEST_TEXT_IN_BLOCK] = _INTEGER_MARK
    return blocks


def _text_blocks(
    values: pa.Array,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return one padded block per text and the positions of those too long for one.

    The last byte holds the length, so that no two texts share a block.
    """
    filled = pc.fill_null(values, "")
    lengths = pc.binary_length(filled).to_numpy(zero_copy_only=False).astype(np.int64)
    is_long = lengths > _LONGEST_TEXT_IN_BLOCK
    short = pc.if_else(pa.array(is_long), "", filled) if is_long.any() else filled
    short_lengths = np.where(is_long, 0, lengths)
    data = np.frombuffer(short.buffers()[2] or b"", dtype=np.uint8)
    offsets = np.frombuffer(short.buffers()[1], dtype=np.int32)[
        short.offset : short.offset + len(short)
    ].astype(np.int64)
    blocks = np.zeros((len(short), _BLOCK), dtype=np.uint8)
    rows = np.repeat(np.arange(len(short)), short_lengths)
    starts = np.concatenate(([0], np.cumsum(short_lengths)[:-1])) if len(short) else short_lengths
    within = np.arange(len(rows)) - np.repeat(starts, short_lengths)
    blocks[rows, within] = data[np.repeat(offsets, short_lengths) + within]
    blocks[:, _LONGEST_TEXT_IN_BLOCK] = short_lengths
    return blocks, np.flatnonzero(is_long)


def _encode(cipher: npt.NDArray[np.uint8], values: pa.Array, epoch: int) -> pa.Array:
    """Write the first ten bytes of each block in hexadecimal, the epoch in the first digit."""
    count = len(cipher)
    head = cipher[:, :TOKEN_BYTES].copy()
    head[:, 0] = head[:, 0] & 0x0F | epoch << 4
    text = binascii.hexlify(head.data if count else b"")
    offsets = np.arange(0, (count + 1) * TOKEN_LENGTH, TOKEN_LENGTH, dtype=np.int32)
    tokens = pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(text))
    if values.null_count:
        tokens = pc.if_else(pc.is_valid(values), tokens, pa.scalar(None, pa.string()))
    return tokens

"""Keyed digests of sets of erased keys, kept in manifests.

A partition that has not changed is linked from night to night. Whether that is right also hangs on
its parents: diagnoses stay as they are while their visit passes to another patient. So a manifest
holds, for each key domain that rows refer to, a digest of the erased keys of that domain, and
tables that refer to it are linked only while it is the same. The digest is the sum of the keys'
own, so that another erasure adds to it.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from extract.erasure.belonging import Belonging, parents
from extract.identity.tokens import derive_key

_BYTES = 16
_MODULUS = 1 << (8 * _BYTES)


def united(
    before: Mapping[str, str],
    keys: Mapping[str, Iterable[str]],
    tables: Iterable[Belonging],
    key: bytes,
) -> dict[str, str]:
    """Return the digests after some keys more; a domain without any is left out.

    Args:
        before: the digests so far.
        keys: the tokens to add, by key domain.
        tables: how rows belong to persons.
        key: the token key that the tokens were made with.
    """
    secret = derive_key(key, "erased keys")
    sums = {domain: int(digest, 16) for domain, digest in before.items()}
    for domain in parents(tables) & set(keys):
        for token in keys[domain]:
            one = hmac.digest(secret, f"{domain} {token}".encode(), "sha256")[:_BYTES]
            sums[domain] = (sums.get(domain, 0) + int.from_bytes(one)) % _MODULUS
    return {domain: f"{total:0{2 * _BYTES}x}" for domain, total in sorted(sums.items())}

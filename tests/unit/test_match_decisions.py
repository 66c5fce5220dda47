"""A steward's decisions: what stands, what is refused, and that the record cannot be edited."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from extract.identity.keyring import Keyring
from extract.identity.matching.decisions import (
    DECISIONS,
    Action,
    Decision,
    Registration,
    add_decision,
    in_order,
    read_decisions,
    standing,
)
from governance.errors import MatchError, VaultError
from tests.helpers.matching import match
from tests.helpers.vault import keyring

A: Registration = ("ehr", "1")
B: Registration = ("ehr", "2")
C: Registration = ("billing", "1")


def add(
    vault: Path,
    action: Action,
    *pair: Registration,
    undoes: int | None = None,
    ring: Keyring | None = None,
) -> None:
    ring = ring or keyring()
    decision = Decision(
        number=len(read_decisions(vault, ring)) + 1,
        at="2026-07-01T08:00:00+00:00",
        account="steward",
        action=action,
        reason="registration_error",
        pair=in_order(*pair) if pair else None,
        undoes=undoes,
    )
    add_decision(vault, ring, decision)


def pairs(vault: Path) -> tuple[list[object], list[object]]:
    found = standing(read_decisions(vault, keyring()))
    return list(found.joined), list(found.parted)


def test_the_newest_decision_on_a_pair_stands(tmp_path: Path) -> None:
    add(tmp_path, "merge", A, B)
    assert pairs(tmp_path) == ([(A, B)], [])
    add(tmp_path, "unmerge", B, A)
    assert pairs(tmp_path) == ([], [(A, B)])
    add(tmp_path, "undo", undoes=2)
    assert pairs(tmp_path) == ([(A, B)], [])
    add(tmp_path, "undo", undoes=1)
    assert pairs(tmp_path) == ([], [])
    assert [d.action for d in read_decisions(tmp_path, keyring())] == [
        "merge",
        "unmerge",
        "undo",
        "undo",
    ]


def test_what_others_contradict_is_refused_and_not_recorded(tmp_path: Path) -> None:
    add(tmp_path, "merge", A, B)
    add(tmp_path, "merge", B, C)
    before = (tmp_path / DECISIONS).read_bytes()
    with pytest.raises(MatchError, match=r"cannot all hold.*1, 2, 3"):
        add(tmp_path, "unmerge", A, C)
    assert (tmp_path / DECISIONS).read_bytes() == before


def test_a_merge_that_would_join_what_was_parted_is_refused(tmp_path: Path) -> None:
    add(tmp_path, "unmerge", A, C)
    add(tmp_path, "merge", A, B)
    with pytest.raises(MatchError, match="cannot all hold"):
        add(tmp_path, "merge", B, C)


def test_an_undo_that_brings_a_contradiction_back_is_refused(tmp_path: Path) -> None:
    add(tmp_path, "unmerge", A, C)
    add(tmp_path, "merge", A, C)
    add(tmp_path, "merge", A, B)
    add(tmp_path, "merge", B, C)
    with pytest.raises(MatchError, match="cannot all hold"):
        add(tmp_path, "undo", undoes=2)


@pytest.mark.parametrize("number", [2, 99])
def test_only_what_stands_can_be_taken_back(tmp_path: Path, number: int) -> None:
    add(tmp_path, "merge", A, B)
    with pytest.raises(MatchError, match=f"no decision {number} in force"):
        add(tmp_path, "undo", undoes=number)


def test_the_record_says_nothing_without_the_key(tmp_path: Path) -> None:
    add(tmp_path, "merge", ("ehr", "7734099112"), B)
    path = tmp_path / DECISIONS
    assert b"7734099112" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(VaultError, match="not as it was written"):
        read_decisions(tmp_path, Keyring("m", "d", {"d": bytes(32)}))


def test_a_new_data_key_reads_what_the_old_one_wrote(tmp_path: Path) -> None:
    add(tmp_path, "merge", A, B)
    ring = replace(keyring(), active="e", data_keys={**keyring().data_keys, "e": bytes(32)})
    add(tmp_path, "unmerge", B, C, ring=ring)
    assert len(read_decisions(tmp_path, ring)) == 2


@pytest.mark.parametrize("attack", ["cut", "swap", "repeat", "edit", "end", "empty"])
def test_an_edited_record_is_refused(tmp_path: Path, attack: str) -> None:
    add(tmp_path, "merge", A, B)
    add(tmp_path, "unmerge", B, C)
    path = tmp_path / DECISIONS
    one, two, end = path.read_text().splitlines()
    edited = json.dumps(json.loads(one) | {"salt": json.loads(two)["salt"]}, sort_keys=True)
    shorter = json.dumps(json.loads(end) | {"count": 1}, sort_keys=True)
    lines = {
        "cut": [one, end],
        "swap": [two, one, end],
        "repeat": [one, one, two, end],
        "edit": [edited, two, end],
        "end": [one, shorter],
        "empty": [],
    }[attack]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(VaultError, match="not as it was written"):
        read_decisions(tmp_path, keyring())


def test_decisions_stand_above_the_rule(tmp_path: Path) -> None:
    """Merged although the names differ, parted although all agrees; others follow the rule."""
    twin = {"first_name": "Beatrice", "health_number": "9025514486"}
    add(tmp_path, "merge", ("ehr", "a"), ("ehr", "c"))
    add(tmp_path, "unmerge", ("ehr", "a"), ("ehr", "b"))
    found = match(
        tmp_path, {}, {}, twin, twin, standing=standing(read_decisions(tmp_path, keyring()))
    )
    assert found.are_one("a", "c", "d")
    assert not found.are_one("a", "b")
    assert found.methods["a"] == "decision"
    # Two persons whom a steward has parted are not asked about again.
    assert found.to_review == set()


def test_a_decision_on_a_registration_that_is_gone_waits(tmp_path: Path) -> None:
    add(tmp_path, "merge", ("ehr", "a"), ("ehr", "z"))
    rules = standing(read_decisions(tmp_path, keyring()))
    found = match(tmp_path, {}, standing=rules)
    assert found.groups == {"a": 1}
    assert found.figures.decisions == 0

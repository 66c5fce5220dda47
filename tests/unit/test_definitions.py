"""What changed between two definitions of a measure, in words."""

from __future__ import annotations

import datetime as dt

from ops.publication.definitions import (
    NOT_KEPT,
    Definition,
    Rule,
    changed_rules,
    changes_since,
    definition_changes,
)

WINDOW = Rule("window", "72", "hours")
GROUP = "diagnosis group ami of the return"
ARROW = "\N{RIGHTWARDS ARROW}"


def item(code: str, value: str = "any age") -> Rule:
    return Rule(code, value, list_name=GROUP)


def test_a_changed_rule_is_named_with_both_values() -> None:
    assert changed_rules({"w": WINDOW}, {"w": Rule("window", "48", "hours")}) == (
        f"window 72 {ARROW} 48 hours",
    )


def test_a_rule_that_comes_or_goes_restricted_nothing_before_or_after() -> None:
    required = {"a": Rule("admission required", "yes")}
    assert changed_rules(required, {}) == (f"admission required yes {ARROW} no",)
    assert changed_rules({}, required) == (f"admission required no {ARROW} yes",)
    age = {"m": Rule("oldest age", "17", "years")}
    assert changed_rules({}, age) == (f"oldest age any {ARROW} 17 years",)


def test_of_a_list_is_said_what_was_added_and_removed_and_no_more_than_six() -> None:
    before = {"I21": item("I21"), "I22": item("I22"), "A40": item("A40")}
    after = {"I21": item("I21"), "I23": item("I23"), "A40": item("A40", "to age 17")}
    assert changed_rules(before, after) == (
        f"{GROUP}: A40 any age {ARROW} to age 17, I22 (any age) removed, I23 (any age) added",
    )
    many = {f"F{n}": item(f"F{n}") for n in range(10, 18)}
    (words,) = changed_rules({}, many)
    assert words.startswith(f"{GROUP}: F10 (any age) added, F11")
    assert words.endswith("F15 (any age) added and 2 more")


def test_the_words_of_a_rule_may_be_put_better_without_a_change() -> None:
    assert changed_rules({"w": WINDOW}, {"w": Rule("time to the return", "72", "h")}) == ()


def definition(day: int, digest: str, hours: str | None) -> Definition:
    rules = {"w": Rule("window", hours, "hours")} if hours else None
    return Definition(dt.datetime(2025, 1, day), digest, rules)


def test_changes_are_told_one_by_one_and_since_any_of_them() -> None:
    all_three = (
        definition(1, "a", "72"),
        definition(2, "b", "48"),
        definition(3, "c", "24"),
    )
    assert definition_changes(all_three) == (
        (dt.datetime(2025, 1, 2), (f"window 72 {ARROW} 48 hours",)),
        (dt.datetime(2025, 1, 3), (f"window 48 {ARROW} 24 hours",)),
    )
    assert changes_since(all_three, "a") == (f"window 72 {ARROW} 24 hours",)
    assert changes_since(all_three, "c") == ()
    # A digest that a version without rules made.
    assert changes_since(all_three, "z") == (NOT_KEPT,)
    kept_none = (definition(1, "z", None), all_three[0])
    assert definition_changes(kept_none) == ((dt.datetime(2025, 1, 1), (NOT_KEPT,)),)

"""The rule by which the network's chart reviews are hidden, a second time: in whole arrays.

A world is one half-year: of each hospital the reviewed cases, those with an issue, and of each
theme the cases with it. Each case with an issue has at least one theme.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Worlds:
    """Counts of many half-years.

    Attributes:
        reviewed: by world and hospital.
        issues: the same, those with an issue.
        themes: by world, hospital and theme.
    """

    reviewed: Ints
    issues: Ints
    themes: Ints


@dataclass(frozen=True)
class Hidden:
    """What of each world is not shown: reviewed and issues by world, themes by world and theme."""

    reviewed: Flags
    issues: Flags
    themes: Flags


def protect(
    worlds: Worlds,
    *,
    largest: int = 10,
    minimum: int = 3,
    is_own_known: bool = True,
    is_whole_great: bool = True,
) -> Hidden:
    """Say what is hidden.

    Args:
        worlds: what was found.
        largest: counts of 1 to this are small.
        minimum: hospitals that must have reviewed.
        is_own_known: without it, nobody is thought to take a hospital's own counts off.
        is_whole_great: without it, a whole may be as small as what is left of one.
    """
    least = minimum * (largest + 1) if is_whole_great else largest + 1

    def small(counts: Ints) -> Flags:
        total = counts.sum(axis=1)
        found = (total >= 1) & (total < least)
        if is_own_known:
            others = total[:, None] - counts
            found = found | ((others >= 1) & (others <= largest)).any(axis=1)
        return np.asarray(found)

    few = (worlds.reviewed > 0).sum(axis=1) < minimum
    reviewed = few | small(worlds.reviewed)
    issues = reviewed | small(worlds.issues) | small(worlds.reviewed - worlds.issues)
    parts = [worlds.themes[:, :, at] for at in range(worlds.themes.shape[2])]
    own = np.stack([small(part) | small(worlds.issues - part) for part in parts], axis=1)
    # What the shown themes leave of the cases with an issue is told of the hidden ones.
    shown = np.where(own[:, None, :], 0, worlds.themes).sum(axis=2)
    left = worlds.issues.sum(axis=1) - shown.sum(axis=1)
    is_told = left > 0
    if is_own_known:
        is_told = is_told | ((left[:, None] - (worlds.issues - shown)) > 0).any(axis=1)
    themes = issues[:, None] | own | (own.any(axis=1) & is_told)[:, None]
    return Hidden(reviewed, issues, themes)


def draw_worlds(count: int, *, seed: int, hospitals: int = 5, themes: int = 3) -> Worlds:
    """Draw half-years crowded about the thresholds, where every part of the rule is needed."""
    rng = np.random.default_rng(seed)
    scale = rng.choice([2, 4, 8, 20, 60], size=(count, 1))
    # In some one hospital has nearly all: the others are left with few.
    scale = scale * rng.choice([0.1, 1, 1, 6], size=(count, hospitals))
    quiet = rng.random((count, hospitals)) < rng.choice([0, 0.3], size=(count, 1))
    reviewed = np.where(quiet, 0, rng.poisson(scale, (count, hospitals)))
    issues = rng.binomial(reviewed, rng.choice([0, 0.2, 0.5, 0.9, 1], size=(count, 1)))
    shares = rng.choice([0, 0.05, 0.3, 0.7, 1], size=(count, 1, themes))
    found = rng.binomial(issues[:, :, None], np.broadcast_to(shares, (*issues.shape, themes)))
    # Whoever has no theme yet has the first one.
    missing = np.maximum(0, issues - found.sum(axis=2))
    found[:, :, 0] = np.minimum(issues, found[:, :, 0] + missing)
    return Worlds(reviewed, issues, found)

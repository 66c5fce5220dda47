"""Attack the files of a release before anybody sees them, and refuse them where that succeeds.

The gate counts classes in tables; here the files themselves are attacked, with what the release
account alone knows to judge it by: who is who. Two attackers: one holds an earlier release, one
knows nearly all that the warehouse knows. Who was looked for stays here; counts leave.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from extract.lake import sha256_of
from governance.errors import PublicationError
from governance.settings import Settings
from ops.release.ledger import Given, ReleaseLedger
from ops.release.linkage import TABLES, Linkage, measure_linkage
from ops.release.noisy_match import Match, Truth, measure_match, most_targets
from ops.release.profiles import Profile
from ops.release.sample import draw_targets, seed_of_noise

_MANIFEST = "manifest.json"
# What is true of the persons looked for. Tables of the build, by name: where they lie is dbt's.
_TRUTH = {
    "persons": """
        select person_key as person, sex_code, birth_on, postal_code
        from {dim_patients} inner join targets on person_key = person
    """,
    "stays": """
        select
            person_key as person, stay_key as stay, arrived_on as day, peer_group_code,
            acuity_code, arrival_mode_code, disposition_code,
            date_diff('minute', arrived_at, left_at) as minutes
        from {int_release__whole_stays} inner join targets on person_key = person
    """,
    "codes": """
        select stay_key as stay, ccsr_code, chapter_code
        from {int_release__stay_diagnoses}
        inner join {int_release__whole_stays} using (stay_key)
        inner join targets on person_key = person
    """,
}


@dataclass(frozen=True)
class Attacked:
    """What the attackers of the files are left with.

    Attributes:
        linked: of each earlier release that counts and is at hand, the profile it was made under
            and what each way of joining it gives.
        missing_count: earlier releases that count and are not at hand, or not as they were given.
        match: what somebody finds who knows nearly all that the warehouse knows.
    """

    linked: tuple[tuple[str, tuple[Linkage, ...]], ...]
    missing_count: int
    match: Match


@dataclass(frozen=True)
class Attempt:
    """A release that was written and that nobody has seen.

    Attributes:
        directory: its files.
        connection: the build, with ``crosswalk_person_key`` (old_key, new_key).
        spill: where to put what does not fit into memory.
    """

    directory: Path
    connection: duckdb.DuckDBPyConnection
    spill: Path


def attack(settings: Settings, attempt: Attempt, ledger: ReleaseLedger) -> Attacked:
    """Attack the files of a release.

    Raises:
        KeyFileError: the key of the sample can be read by others.
        PublicationError: the ledger cannot say whom an earlier release holds.
    """
    crosswalk = _table(attempt, "select old_key, new_key from crosswalk_person_key")
    linked, missing = [], 0
    for given in ledger.entries:
        if given.closed_reason:
            continue
        earlier = settings.release / given.release
        if not _is_as_given(earlier, given):
            missing += 1
            continue
        is_common = ledger.is_held(given, crosswalk["old_key"].combine_chunks())
        common = crosswalk["new_key"].filter(is_common).combine_chunks()
        found = measure_linkage(attempt.directory, earlier, common, attempt.spill)
        linked.append((given.profile, tuple(found)))
    return Attacked(tuple(linked), missing, _matched(settings, attempt, crosswalk))


def refuse_what_is_found(profile: Profile, attacked: Attacked) -> None:
    """Refuse a release in which an attacker finds more persons than its profile allows.

    Raises:
        PublicationError: too many persons can be linked to an earlier release, or are found by what
            is known of them.
    """
    joined = [one for _, ways in attacked.linked for one in ways]
    worst = max((one.possible_share for one in joined), default=0.0)
    if worst > profile.largest_linked_share:
        raise PublicationError(
            "Joined with an earlier release by its contents, the release links more of its persons "
            f"than the profile {profile.name} allows ({profile.largest_linked_share:.1%}), and the "
            "links may be right. Nothing was written: give one of them to each, or close the "
            "earlier once it is returned or destroyed (`scutari ledger show`)."
        )
    if attacked.match.recall > profile.largest_matched_share:
        raise PublicationError(
            "Somebody who knows most of what the warehouse knows finds more persons in the release "
            f"than the profile {profile.name} allows ({profile.largest_matched_share:.1%}). "
            "Nothing was written: show less in its levels in dbt_project.yml."
        )


def _is_as_given(directory: Path, given: Given) -> bool:
    """The files are those that were given: another release may stand under the name today."""
    manifest = directory / _MANIFEST
    files = [manifest, *(directory / f"{file}.parquet" for file in TABLES.values())]
    return all(file.is_file() for file in files) and sha256_of(manifest) == given.manifest_sha256


def _matched(settings: Settings, attempt: Attempt, crosswalk: pa.Table) -> Match:
    everybody = _table(
        attempt,
        "select distinct person_key from {int_release__whole_stays}",
    )["person_key"]
    released = crosswalk["old_key"]
    others = everybody.filter(pc.invert(pc.is_in(everybody, value_set=released.combine_chunks())))
    count = most_targets(attempt.directory, attempt.spill)
    # Half of them in the release, half not: to name who is not there is wrong, too.
    chosen = draw_targets(settings, released.to_pylist(), count // 2)
    strangers = draw_targets(settings, others.to_pylist(), count // 2)
    truth = _truth(attempt, [*chosen, *strangers])
    ids = crosswalk.filter(pc.is_in(released, value_set=pa.array(chosen, pa.string())))
    return measure_match(
        attempt.directory,
        truth,
        ids.rename_columns(["person", "released"]),
        seed=seed_of_noise(settings),
        spill=attempt.spill,
    )


def _truth(attempt: Attempt, persons: Iterable[str]) -> Truth:
    attempt.connection.register("targets", pa.table({"person": pa.array(persons, pa.string())}))
    try:
        return Truth(**{name: _table(attempt, query) for name, query in _TRUTH.items()})
    finally:
        attempt.connection.unregister("targets")


def _table(attempt: Attempt, query: str) -> pa.Table:
    places = {
        name: f"warehouse.{schema}.{name}"
        for schema, name in attempt.connection.execute(
            "select table_schema, table_name from information_schema.tables "
            "where table_catalog = 'warehouse' and table_name in "
            "('dim_patients', 'int_release__whole_stays', 'int_release__stay_diagnoses')"
        ).fetchall()
    }
    found: Any = attempt.connection.sql(query.format(**places)).to_arrow_table()
    return found

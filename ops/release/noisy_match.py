"""Somebody knows nearly what the warehouse knows, with noise, and looks for persons in a release.

The attack of Narayanan and Shmatikov (2008, "Robust de-anonymization of large sparse datasets"):
every released record is scored by what it has in common with what is known of a person; a rare
thing in common counts more than a usual one. The best record is named where it stands out from the
second best by so many standard deviations of all scores; else there is only a guess among the best.
Written from the files and their dictionary, as the attacker would write it: no model is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ops.release.linkage import attacker, columns, read_release

# Of the paper: how far the best must stand out before it is named.
ECCENTRICITY = 1.5
TARGETS = 1000
# Pairs of a person and a record that are looked at: more records, fewer persons.
_LARGEST_PAIRS = 10_000_000
_FEWEST_TARGETS = 50
_PERSON_COLUMNS = ("zip3", "visit_year")
_VISIT_COLUMNS = (
    "peer_group_code",
    "acuity_code",
    "arrival_mode_code",
    "disposition_code",
    "length_of_stay_band",
    "interval_band",
)
# Bands and groups as the dictionary of the files describes them.
_AGE_BAND = """
    case
        when {0} is null or {0} < 0 then 'unknown' when {0} >= 90 then '90+'
        when {0} >= 75 then '75-89' when {0} >= 60 then '60-74' when {0} >= 45 then '45-59'
        when {0} >= 30 then '30-44' when {0} >= 18 then '18-29' when {0} >= 5 then '05-17'
        else '00-04'
    end
"""
_INTERVAL = """
    case
        when {0} = 0 then '0' when {0} <= 3 then '1-3' when {0} <= 30 then '4-30'
        when {0} <= 180 then '31-180' else '>180'
    end
"""
_LENGTH = """
    case
        when minutes is null or minutes < 0 then 'unknown' when minutes < 120 then '<2h'
        when minutes < 240 then '2-4h' when minutes < 480 then '4-8h'
        when minutes < 1440 then '8-24h' else '>=24h'
    end
"""
_ARRIVAL_MODE = """
    case
        when arrival_mode_code in ('ambulance', 'helicopter', 'police') then 'brought'
        when arrival_mode_code is null then 'unknown' else 'walk_in_or_other'
    end
"""
_OUTCOME = """
    case
        when disposition_code in ('admitted', 'observation', 'transferred', 'died') then 'hospital'
        when disposition_code = 'home' then 'home' else 'other'
    end
"""
_TIE = 1e-9

# What is known of each person, in the words of the files; each fact with what it would tell.
_KNOWLEDGE = f"""
    create or replace table knowledge as
    with read as (
        select person, known, 'peer_group_code' as kind, '' as part, peer_group_code as value
        from known
        union all select person, known, 'acuity_code', '', acuity_code from known
        union all select person, known, 'arrival_mode_code', '', {_ARRIVAL_MODE} from known
        union all select person, known, 'disposition_code', '', {_OUTCOME} from known
        union all
        select person, known, 'disposition_code', '', 'home_or_other' from known
        where {_OUTCOME} <> 'hospital'
        union all select person, known, 'length_of_stay_band', '', {_LENGTH} from known
        union all
        select distinct person, known, 'interval_band', '', {_INTERVAL.format("between + off")}
        from known, range(-2 * {{off}}, 2 * {{off}} + 1) as offs(off)
        where between + off >= 0
        union all
        select person, known, 'days_between', '', cast(between + off as varchar)
        from known, range(-2 * {{off}}, 2 * {{off}} + 1) as offs(off)
        union all
        select person, known, 'arrived_on', '', cast(day + cast(off as int) as varchar)
        from known, range(-{{off}}, {{off}} + 1) as offs(off)
        union all
        select distinct person, known, 'ccsr', ccsr_code, ccsr_code
        from known inner join known_codes using (stay)
        union all
        select distinct person, known, 'chapter', chapter_code, chapter_code
        from known inner join known_codes using (stay)
        union all
        select person, 0, 'visits', '', cast(
            least(count(*), (select max(visit_number) from held_visits)) as varchar
        )
        from known group by person
        union all
        select distinct person, 0, 'visit_year', '', cast(year(first_day) as varchar) from known
        union all select distinct person, 0, 'zip3', '', left(postal_code, 3) from known
    ),
    borne as (
        select kind, value, count(distinct person_key) as persons_count
        from facts group by kind, value
    ),
    weighed as (
        select
            read.*,
            -log2(least(1, sum(persons_count) over (partition by person, known, kind, part)
                / (select count(*) from held_patients))) as bits
        from read inner join borne using (kind, value)
    )
    select weighed.*, blocks.sex_code, blocks.age_band
    from weighed inner join (select distinct person, sex_code, age_band from known) as blocks
        using (person)
"""
# Every record of the same sex and age band scored, who stands out named, and looked at who it is.
_JUDGED = f"""
    with records as (
        select record_key, sex_code, age_band, count(*) as persons_count
        from members group by record_key, sex_code, age_band
    ),
    blocks as (
        select sex_code, age_band, sum(persons_count) as block_count
        from records group by sex_code, age_band
    ),
    hits as (
        select person, known, record_key, visit, sum(bits) as bits
        from knowledge
        inner join records using (sex_code, age_band)
        inner join facts
            on facts.person_key = records.record_key
            and facts.kind = knowledge.kind and facts.value = knowledge.value
        group by person, known, record_key, visit
    ),
    best_visits as (
        select person, known, record_key, max(bits) as bits
        from hits group by person, known, record_key
    ),
    scores as (
        select person, record_key, sum(bits) as score
        from best_visits group by person, record_key
    ),
    placed as (
        select
            scores.*,
            records.persons_count,
            blocks.block_count,
            max(score) over (partition by person) as best,
            row_number() over (partition by person order by score desc, record_key) as place
        from scores
        inner join records using (record_key)
        inner join blocks using (sex_code, age_band)
    ),
    judged as (
        select
            person,
            max(best) as best,
            coalesce(max(score) filter (where place = 2), 0) as second,
            sum(persons_count) filter (where score >= best - {_TIE}) as top_count,
            min(record_key) filter (where place = 1) as top_key,
            sum(score * persons_count) / max(block_count) as mean,
            sum(score * score * persons_count) / max(block_count) as mean_square
        from placed group by person
    ),
    named as (
        select
            *,
            top_count = 1 and best - second
            >= {ECCENTRICITY} * sqrt(greatest(mean_square - mean * mean, 0)) as is_named
        from judged
    ),
    guessed as (
        select 1.0::double / named.top_count as chance
        from named
        inner join ids using (person)
        inner join members on ids.released = members.person_key
        inner join scores
            on scores.person = named.person and scores.record_key = members.record_key
        where scores.score >= named.best - {_TIE}
    )
    select
        (select count(*) from known_persons),
        (select count(*) from ids),
        (select count(*) from named where is_named),
        (
            select count(*) from named inner join ids using (person)
            where is_named and top_key = released
        ),
        (select coalesce(sum(chance), 0) from guessed)
"""


@dataclass(frozen=True)
class Noise:
    """What is wrong with what the attacker knows.

    Attributes:
        known_share: of a person's stays those that are known.
        days_off: days that a date may be off, either way.
        wrong_share: of the values those that are somebody else's.
    """

    known_share: float = 0.8
    days_off: int = 2
    wrong_share: float = 0.1


@dataclass(frozen=True)
class Truth:
    """What the warehouse holds of the persons who are looked for.

    Attributes:
        persons: person, sex_code, birth_on, postal_code.
        stays: person, stay, day, peer_group_code, acuity_code, arrival_mode_code,
            disposition_code, minutes (in the ED).
        codes: stay, ccsr_code, chapter_code.
    """

    persons: pa.Table
    stays: pa.Table
    codes: pa.Table


@dataclass(frozen=True)
class Match:
    """What the attack gives.

    Attributes:
        targets_count: persons who were looked for.
        released_count: of these, those who stand in the release.
        named_count: persons for whom a record stood out.
        right_count: of these, those whose own record it was.
        guessed_count: of those in the release, how many are expected to be found by choosing one at
            random of the persons whose records fit best.
    """

    targets_count: int
    released_count: int
    named_count: int
    right_count: int
    guessed_count: float

    @property
    def precision(self) -> float | None:
        """Share of the named who are right; None where nobody is named."""
        return self.right_count / self.named_count if self.named_count else None

    @property
    def recall(self) -> float:
        """Share of those in the release who are named rightly."""
        return self.right_count / self.released_count if self.released_count else 0.0

    @property
    def guessed_share(self) -> float:
        """Share of those in the release whom a guess finds."""
        return self.guessed_count / self.released_count if self.released_count else 0.0


def most_targets(directory: Path, spill: Path) -> int:
    """How many persons can be looked for within bounds: fewer where many share sex and age band."""
    with attacker(spill) as connection:
        read_release(connection, "held", directory)
        (row,) = connection.execute(
            "select coalesce(max(n), 1) from (select count(*) as n from held_patients "
            "group by sex_code, age_band)"
        ).fetchall()
    return int(max(_FEWEST_TARGETS, min(TARGETS, _LARGEST_PAIRS // row[0])))


def measure_match(
    directory: Path,
    truth: Truth,
    ids: pa.Table,
    *,
    seed: int,
    spill: Path,
    noise: Noise | None = None,
) -> Match:
    """Look for persons in a release by nearly all that is true of them.

    Where the files show days, it is tried with the days themselves and with the days between them;
    the better attack counts.

    Args:
        directory: the release.
        truth: of the persons who are looked for.
        ids: person and released, the person's id in the release: to judge by, not to attack with.
        seed: of the noise.
        spill: where to put what does not fit into memory.
        noise: what is wrong with what is known.
    """
    noise = noise or Noise()
    known = _with_noise(truth, noise, np.random.default_rng(seed))
    with attacker(spill) as connection:
        read_release(connection, "held", directory)
        for name in ("persons", "stays", "codes"):
            connection.register(f"known_{name}", getattr(known, name))
        connection.register("ids", ids)
        has_days = "arrived_on" in columns(connection, "held_visits")
        found = []
        # Without days there is nothing to choose: a column that is not there is not used.
        for day_column in ("days_between", "arrived_on") if has_days else ("days_between",):
            _write_records(connection, day_column)
            _write_knowledge(connection, noise)
            found.append(_judged(connection))
        return max(found, key=lambda one: (one.right_count, one.guessed_count))


def _with_noise(truth: Truth, noise: Noise, rng: np.random.Generator) -> Truth:
    """What of the truth has reached the attacker, and as what."""
    stays = truth.stays.sort_by([("person", "ascending"), ("stay", "ascending")])
    stays = stays.filter(pa.array(rng.random(len(stays)) < noise.known_share))
    count = len(stays)
    off = rng.integers(-noise.days_off, noise.days_off + 1, count).astype(np.int32)
    blurred = {
        name: stays[name]
        if name in ("person", "stay")
        else stays[name].take(_donors(count, noise.wrong_share, rng))
        for name in stays.column_names
    }
    days = pc.add(blurred["day"].cast(pa.date32()).cast(pa.int32()), pa.array(off))
    blurred["day"] = days.cast(pa.date32())
    donor = stays["stay"].take(_donors(count, noise.wrong_share, rng))
    borne = pa.table({"stay": stays["stay"], "donor": donor}).join(
        truth.codes, keys="donor", right_keys="stay", join_type="inner"
    )
    return Truth(truth.persons, pa.table(blurred), borne)


def _donors(count: int, share: float, rng: np.random.Generator) -> pa.Array:
    """Rows to take values from: a row's own, or somebody else's."""
    rows = np.arange(count)
    is_wrong = rng.random(count) < share
    rows[is_wrong] = rng.integers(0, max(count, 1), int(is_wrong.sum()))
    return pa.array(rows)


def _write_records(connection: duckdb.DuckDBPyConnection, day_column: str) -> None:
    """What the files say, fact by fact; persons who show the same are one record."""
    shown = columns(connection, "held_visits")
    used = [name for name in (*_VISIT_COLUMNS, day_column) if name in shown]
    facts = [
        f"select person_key, visit_number as visit, '{name}' as kind, "
        f"cast({name} as varchar) as value from held_visits where {name} is not null"
        for name in used
    ]
    facts += [
        f"select person_key, 0, '{name}', cast({name} as varchar) from held_patients"
        for name in columns(connection, "held_patients")
        if name in _PERSON_COLUMNS
    ]
    connection.execute(
        f"""
        create or replace table facts as
        {" union all ".join(facts)}
        union all
        select person_key, 0, 'visits', cast(count(*) as varchar)
        from held_visits group by person_key
        union all
        select visits.person_key, visits.visit_number, codes.group_level_code, codes.group_code
        from held_codes as codes inner join held_visits as visits using (visit_key)
        """
    )
    connection.execute(
        """
        create or replace table members as
        with told as (
            select
                person_key,
                string_agg(visit || kind || '=' || value, '|' order by visit, kind, value) as record
            from facts group by person_key
        )
        select
            person_key,
            sex_code,
            age_band,
            min(person_key) over (partition by sex_code, age_band, record) as record_key
        from held_patients inner join told using (person_key)
        """
    )


def _write_knowledge(connection: duckdb.DuckDBPyConnection, noise: Noise) -> None:
    """What is known of each person, in the words of the files; each fact with what it would tell.

    Of a fact that may read in several ways (a date that may be off) any counts, and all are weighed
    together: minus the logarithm of the share of persons in the release who show one of them.
    """
    one_year = "visit_year" in columns(connection, "held_patients")
    connection.execute(
        f"""
        create or replace table known as
        with dated as (
            select
                stays.*,
                persons.sex_code,
                persons.birth_on,
                persons.postal_code,
                row_number() over ordered as known,
                stays.day - lag(stays.day) over ordered as between,
                min(stays.day) over (partition by stays.person) as first_day
            from known_stays as stays inner join known_persons as persons using (person)
            window ordered as (partition by stays.person order by stays.day, stays.stay)
        )
        select
            * exclude (sex_code),
            coalesce(sex_code, 'U') as sex_code,
            {_AGE_BAND.format("datesub('year', birth_on, first_day)")} as age_band
        from dated
        {"where year(day) = year(first_day)" if one_year else ""}
        """
    )
    connection.execute(_KNOWLEDGE.format(off=noise.days_off))


def _judged(connection: duckdb.DuckDBPyConnection) -> Match:
    """Score every record of the same sex and age band, name who stands out, and look who it is."""
    (row,) = connection.execute(_JUDGED).fetchall()
    return Match(int(row[0]), int(row[1]), int(row[2]), int(row[3]), float(row[4]))

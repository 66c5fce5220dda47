"""What clerks type of a person: names, address, telephone, each in their own way."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from demo import names
from demo.columns import codes, digits
from demo.draw import Bools, Ints
from demo.kin import TWIN
from demo.people import SWAPPED, UNNAMED
from demo.world import World
from demo.zones import DAY

_UNNAMED = ("Baby", "Baby Girl", "Baby Boy", "Newborn")
_SHORTEST_MOVE_DAYS = 1


def hidden(values: pa.Array, hidden: Bools) -> pa.Array:
    """Return the values as text, null where hidden."""
    return pc.if_else(pa.array(hidden), pa.scalar(None, pa.string()), values.cast(pa.string()))


def patient_names(world: World, rows: Ints) -> dict[str, pa.Array]:
    """Return names of patient registrations as each hospital's clerk typed them."""
    registrations = world.registrations
    person, fault = registrations.person[rows], registrations.name_fault[rows]
    typed = _typed_names(world, "patient", person, rows, registrations.is_protected[rows])
    first, last = (column.cast(pa.string()) for column in typed)
    baby = codes(_UNNAMED, world.draw.below("unnamed", rows, len(_UNNAMED))).cast(pa.string())
    is_swapped, is_unnamed = pa.array(fault == SWAPPED), pa.array(fault == UNNAMED)
    first, last = pc.if_else(is_swapped, last, first), pc.if_else(is_swapped, first, last)
    first = pc.if_else(is_unnamed, baby, first)
    unknown = pa.array(registrations.is_unidentified[rows])
    return {
        "first_name": pc.if_else(unknown, pa.scalar("Unknown"), first),
        "last_name": pc.if_else(unknown, pa.scalar("Doe"), last),
    }


def member_names(world: World, person: Ints, rows: Ints) -> dict[str, pa.Array]:
    """Return names of members as the payer's clerk typed them."""
    never = np.zeros(len(rows), np.bool_)
    first, last = _typed_names(world, "member", person, rows, never)
    return {"first_name": first, "last_name": last}


def _typed_names(
    world: World, system: str, person: Ints, rows: Ints, as_spelt: Bools
) -> tuple[pa.Array, pa.Array]:
    """Return names as one clerk of one system typed them; the person's are always the same."""
    draw = world.draw
    last = draw.below("last_name", world.people.kin.head[person], len(names.LAST))
    way_first = draw.choice(f"{system}/first_way", rows, names.TYPING_SHARES)
    way_last = draw.choice(f"{system}/last_way", rows, names.TYPING_SHARES)
    way_first, way_last = np.where(as_spelt, 0, way_first), np.where(as_spelt, 0, way_last)
    return (
        codes(names.FIRST_VARIANTS, _given_names(world, person) * names.WAYS + way_first),
        codes(names.LAST_VARIANTS, last * names.WAYS + way_last),
    )


def _given_names(world: World, person: Ints) -> Ints:
    """Return each person's given name; no two twins have the same one."""
    kin = world.people.kin
    own, head = _drawn_given(world, person), _drawn_given(world, kin.head[person])
    is_female = world.people.is_female[person]
    start = np.where(is_female, 0, names.MALE_OFFSET)
    count = np.where(is_female, len(names.FEMALE), len(names.MALE))
    is_same = (kin.kinship[person] == TWIN) & (own == head)
    return np.where(is_same, start + (own - start + 7) % count, own)


def _drawn_given(world: World, person: Ints) -> Ints:
    draw = world.draw
    return np.where(
        world.people.is_female[person],
        draw.below("female_name", person, len(names.FEMALE)),
        names.MALE_OFFSET + draw.below("male_name", person, len(names.MALE)),
    )


def has_moved(world: World, person: Ints, at: Ints) -> Bools:
    """Return who lives somewhere else by an instant than at first."""
    draw, plan = world.draw, world.plan
    start = plan.data_through_at - plan.days * DAY
    moved_at = start + DAY * draw.between("moved_on", person, _SHORTEST_MOVE_DAYS, plan.days)
    return draw.chance("moves", person, 0.10) & (at > moved_at)


def places(world: World, person: Ints, rows: Ints, moved: Bools) -> dict[str, pa.Array]:
    """Return where people live: households together until somebody moves."""
    draw = world.draw
    home = world.people.hospitals[person, 0]
    width = max(len(hospital.zip_codes) for hospital in world.plan.hospitals)
    table = [
        hospital.zip_codes[position % len(hospital.zip_codes)]
        for hospital in world.plan.hospitals
        for position in range(width)
    ]
    house = np.where(moved, person + 1_000_000_000, world.people.kin.head[person])
    line = pc.binary_join_element_wise(
        pa.array(1 + draw.below("house", house, 9_800)).cast(pa.string()),
        codes(names.STREETS, draw.below("street", house, len(names.STREETS))).cast(pa.string()),
        codes(names.STREET_KINDS, draw.choice("kind", rows, [5, 4, 3, 2, 2, 2, 1])).cast(
            pa.string()
        ),
        " ",
    )
    area = home * width + draw.below("area", house, width)
    return {"address_line": line, "postal_code": codes(table, area)}


def postal_codes(world: World, person: Ints, rows: Ints) -> pa.Array:
    """Return the ZIP of residence before anybody moved."""
    return places(world, person, rows, np.zeros(len(rows), np.bool_))["postal_code"]


def phones(world: World, person: Ints, rows: Ints, moved: Bools) -> pa.Array:
    """Return telephones: households share one, and a few people have only their home's desk."""
    draw = world.draw
    area = codes(
        [f"+1-{hospital.zip_codes[0][:3]}-55" for hospital in world.plan.hospitals],
        world.people.hospitals[person, 0],
    )
    has_new = moved & draw.chance("new_phone", person, 0.5)
    line = np.where(has_new, person + 1_000_000_000, world.people.kin.head[person])
    number = 100 + draw.below("phone", line, 99_900)
    number = np.where(draw.chance("desk_phone", person, 0.01), 1, number)
    number = np.where(draw.chance("phone_mistyped", rows, 0.02), (number + 10) % 100_000, number)
    return hidden(digits(number, 5, area), draw.chance("no_phone", rows, 0.04))

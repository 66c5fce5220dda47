"""Names and addresses, and the ways in which clerks mistype them. All of them invented."""

from __future__ import annotations

FEMALE = (
    "Mary Anna Elena Sofia Ruth Grace Nora Ingrid Amara Fatima Leila Mei Priya Chloe Isabel Joan"
    " Helen Carmen Olga Yuki Aisha Beatrice Clara Deborah Edith Frances Gloria Hannah Irene Judith"
    " Katherine Louise Margaret Naomi Patricia Rosa Sarah Theresa Ursula Victoria Wanda Zoe Abigail"
    " Bridget Cecilia Dorothy Eleanor Florence"
).split()
MALE = (
    "James John Omar Luis Pedro Chen Arjun Samuel Thomas Peter Viktor Hassan Kofi David Michael"
    " Robert Daniel Matthew Anthony Mark Paul Steven Andrew Kenneth George Joshua Kevin Brian"
    " Edward Ronald Timothy Jason Jeffrey Ryan Gary Nicholas Eric Jonathan Stephen Larry Justin"
    " Scott Brandon Benjamin Gregory Frank Raymond Walter"
).split()
LAST = (
    "Smith Johnson Garcia Miller Davis Martinez Lopez Wilson Anderson Taylor Thomas Moore Jackson"
    " Martin Lee Thompson White Harris Clark Lewis Robinson Walker Young Allen King Wright Scott"
    " Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera Campbell Mitchell Carter"
    " Roberts Okafor Mensah Haddad Rahman Petrov Novak Kowalski Jensen Larsen Virtanen"
    " Schneider Fischer Rossi Ferrari Dubois Moreau Tanaka Sato Kim Park Chowdhury Patel Singh"
    " Sharma Ibrahim Yilmaz"
    " O'Brien O'Connor MacDonald McCarthy St-Pierre García-López Müller Sørensen Lefèvre Nuñez"
    " Abernathy Bellweather Crowhurst Duckworth Eastwick Fairbairn Goldthwaite Hollis Inglewood"
    " Jellicoe Kirkbride Lockwood Merriweather Northcote Oakhurst Pemberton Quillfeather"
    " Ravensworth Sedgwick Thistlewood Underhill Vickery Wetherby Yardley Zimmerman"
).split()
STREETS = (
    "Maple Oak Cedar Elm Pine Walnut Chestnut Spruce Birch Willow Lake River Hill Park Church Mill"
    " School Bridge Union Center Washington Lincoln Franklin Jefferson Madison Prospect Highland"
    " Forest Meadow Orchard"
).split()
STREET_KINDS = ("Street", "Avenue", "Road", "Lane", "St", "Ave", "Dr")
NICKNAMES = {
    "Margaret": "Peggy",
    "Katherine": "Kate",
    "Elena": "Helen",
    "James": "Jim",
    "Robert": "Bob",
    "Thomas": "Tom",
    "Patricia": "Pat",
    "Edward": "Ted",
    "Samuel": "Sam",
    "Deborah": "Debbie",
    "Anthony": "Tony",
}

AS_SPELT, CAPITALS, LETTER_LOST, LETTERS_SWAPPED, SHORT_FORM = range(5)
TYPING_SHARES = (0.86, 0.05, 0.03, 0.03, 0.03)


def typed_variants(names: list[str]) -> list[str]:
    """Return every name in each of the five ways it may be typed, name after name."""
    return [variant for name in names for variant in _variants(name)]


def _variants(name: str) -> tuple[str, str, str, str, str]:
    middle = len(name) // 2
    return (
        name,
        name.upper(),
        name[:middle] + name[middle + 1 :],
        name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :],
        NICKNAMES.get(name, name[:3] if len(name) > 5 else name),  # noqa: PLR2004
    )


FIRST_VARIANTS = typed_variants(FEMALE + MALE)
LAST_VARIANTS = typed_variants(LAST)
MALE_OFFSET = len(FEMALE)
WAYS = len(TYPING_SHARES)

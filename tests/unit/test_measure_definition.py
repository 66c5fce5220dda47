"""What a measure counts, as files of an earlier version kept it: a digest of its seed row."""

from __future__ import annotations

import duckdb
import pytest

from ops.publication.definitions import EARLIER_DEFINITION
from tests.helpers.measures import SEEDS

# Digests of the definitions as published files have held them since the first publication.
PUBLISHED = {
    "ed_return_72h_admitted": "49907b9b244d50722e461d2394d9a95d",
    "ed_return_7d_paediatric_sepsis": "31a4705d1fe871f9030072db5f838041",
}


def definition(measure_code: str, changes: str = "") -> str:
    """The digest of a seed row, some columns of it changed."""
    replaced = f"replace ({changes})" if changes else ""
    row = duckdb.execute(
        f"select {EARLIER_DEFINITION} from (select * {replaced} from read_csv(?, "
        "types = {'minimum_age_years': 'int', 'maximum_age_years': 'int', "
        "'return_outcome_code': 'varchar'})) where measure_code = ?",
        [str(SEEDS / "ed_return_measures.csv"), measure_code],
    ).fetchone()
    assert row is not None
    return str(row[0])


@pytest.mark.parametrize("measure_code", PUBLISHED)
def test_published_measures_are_what_they_were(measure_code: str) -> None:
    """Another digest would hide every frozen month: the measure would count something else."""
    assert definition(measure_code) == PUBLISHED[measure_code]


def test_another_pairing_is_another_definition() -> None:
    paired = definition("ed_return_72h_admitted", "'direct_admission' as pairing_code")
    assert paired != PUBLISHED["ed_return_72h_admitted"]

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


@pytest.mark.parametrize(
    "change",
    [
        "'direct_admission' as pairing_code",
        "'sentinel' as return_exclusion_group_code",
        "'sentinel' as index_exclusion_group_code",
        "false as requires_complete_follow_up",
        "false as requires_known_outcome",
    ],
)
def test_a_rule_that_earlier_versions_did_not_know_makes_another_definition(change: str) -> None:
    assert definition("ed_return_72h_admitted", change) != PUBLISHED["ed_return_72h_admitted"]

"""A profile of a release cannot ask for less than a release must have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from governance.errors import PublicationError
from governance.settings import PROJECT_ROOT
from ops.release.profiles import read_profile


@pytest.mark.parametrize(
    ("parameter", "value", "refusal"),
    [
        ("minimum_class_size", 10, "minimum_class_size is out of its range"),
        ("sample_share", 0.6, "sample_share is out of its range"),
        ("sample_share", 0.3, "its slice of the persons meets that of safe_harbor_fields"),
        ("sample_from", 0.45, "its slice goes beyond 0.5 of the persons"),
        ("minimum_outcome_persons", 2, "minimum_outcome_persons is out of its range"),
        ("shift_days", 45, "shift_days and one_year do not go together"),
        ("one_year", False, "one_year is needed"),
        ("levels", [{"stays": 9, "diagnoses": "ccsr", "shows": []}], "its level 1 is not one"),
        ("largest_linked_share", 0.06, "largest_linked_share is out of its range"),
        ("largest_matched_share", 1, "largest_matched_share is out of its range"),
        ("surprise", 1, "surprise is not a parameter"),
    ],
)
def test_a_profile_cannot_ask_for_less(
    tmp_path: Path, parameter: str, value: Any, refusal: str
) -> None:
    body = yaml.safe_load((PROJECT_ROOT / "dbt_project.yml").read_text())
    body["vars"]["release_profiles"]["open"][parameter] = value
    (tmp_path / "dbt_project.yml").write_text(yaml.safe_dump(body))
    with pytest.raises(PublicationError, match=refusal):
        read_profile("open", tmp_path)

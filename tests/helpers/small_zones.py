"""A tiny real installation with an account for each zone, as an administrator would set it up."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from governance.settings import SETTINGS_FILE, load_settings
from governance.zones import prepare_zones
from tests.helpers.accounts import ACCOUNTS, APPROVER, REQUESTER, STRANGER
from tests.helpers.operational import write_installation

MARCH = datetime(2024, 3, 5, 8, tzinfo=UTC)
H1_PATIENT, H2_PATIENT = 710_017_100_171, 720_017_200_172
H1_VISIT, H2_VISIT, AWAY_VISIT = 810_018_100_181, 820_018_200_182, 830_018_300_183
MRN, NAME, NUMBER = "M-ZAPHIRA-1", "Quillfeather", "VN-MARCH-771"
CONTENT: dict[str, dict[str, list[dict[str, Any]]]] = {
    "ehr": {
        "hospitals": [{"hospital_id": "H1"}, {"hospital_id": "H2"}],
        "feeds": [{"hospital_id": code, "data_through_at": MARCH} for code in ("H1", "H2")],
        "patients": [
            {"patient_id": H1_PATIENT, "hospital_id": "H1", "mrn": MRN, "last_name": NAME},
            {"patient_id": H2_PATIENT, "hospital_id": "H2", "mrn": "M-OTHER-2"},
            *({"patient_id": 730_000_000_000 + n, "hospital_id": "H1"} for n in range(5)),
        ],
        "ed_visits": [
            {
                "visit_id": H1_VISIT,
                "hospital_id": "H1",
                "patient_id": H1_PATIENT,
                "arrived_at": MARCH,
                "visit_number": NUMBER,
            },
            {
                "visit_id": H2_VISIT,
                "hospital_id": "H2",
                "patient_id": H2_PATIENT,
                "arrived_at": MARCH,
            },
            # At H1, of a patient whose registration, and so whose record number, is H2's.
            {
                "visit_id": AWAY_VISIT,
                "hospital_id": "H1",
                "patient_id": H2_PATIENT,
                "arrived_at": MARCH,
            },
        ],
    },
}
ROLES = f"""
[roles.{REQUESTER}]
role = "quality_team"
hospitals = ["H1"]
[roles.{APPROVER}]
role = "data_steward"
hospitals = ["H1", "H2"]
[roles.{STRANGER}]
role = "researcher"
hospitals = ["H1"]
"""


def accounts_table() -> str:
    """The table ``[accounts]`` of the settings."""
    names = ("extractor", "builder", "release", "dashboards", "broker", "lake_readers")
    lines = [f'{key} = "{value}"' for key, value in zip(names, astuple(ACCOUNTS), strict=True)]
    return "\n".join(["[accounts]", *lines, ROLES, "[broker]\ndaily_persons = 200\n"])


@contextmanager
def zoned_home() -> Iterator[Path]:
    """A prepared installation, where other accounts can reach it."""
    base = Path(tempfile.mkdtemp(prefix="scutari-zones-"))
    try:
        base.chmod(0o755)
        home = base / "home"
        write_installation(home, CONTENT, is_synthetic=False)
        for path in (home / "sources", *(home / "sources").iterdir()):
            shutil.chown(path, ACCOUNTS.extractor)
            path.chmod(0o700)
        settings_file = home / SETTINGS_FILE
        settings_file.write_text(settings_file.read_text() + accounts_table())
        settings = load_settings(home)
        assert settings.accounts is not None
        prepare_zones(settings, settings.accounts)
        yield home
    finally:
        shutil.rmtree(base)

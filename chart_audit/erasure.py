"""Chart reviews of persons who were erased: which visits the stores name, and taking cases out."""

from __future__ import annotations

from collections.abc import Collection

from chart_audit.database import hospitals
from chart_audit.hand_over import hand_over
from chart_audit.store import opened_store
from governance.settings import Settings


def named_visits(settings: Settings) -> list[str]:
    """Return the tokens of all visits that a store names, of index and return.

    Raises:
        ChartAuditError: a store cannot be opened.
    """
    found: set[str] = set()
    for hospital in hospitals(settings):
        with opened_store(settings, hospital) as store:
            for case in store.cases():
                found |= {case.index_visit_key, case.return_visit_key or case.index_visit_key}
    return sorted(found)


def remove_visits(settings: Settings, gone: Collection[str]) -> int:
    """Take out every case of which index or return is gone; return how many reviews they had.

    What was handed over to the extractor is handed over anew.

    Raises:
        ChartAuditError: a store cannot be opened or written.
    """
    reviews = 0
    for hospital in hospitals(settings):
        with opened_store(settings, hospital) as store:
            for case in store.cases():
                if case.index_visit_key in gone or case.return_visit_key in gone:
                    reviews += store.remove_case(case.index_visit_key)
    # Also where none is left: an earlier removal may have been cut off before this.
    if settings.chart_reviews.exists():
        hand_over(settings)
    for hospital in hospitals(settings):
        with opened_store(settings, hospital) as store:
            store.wipe()
    return reviews

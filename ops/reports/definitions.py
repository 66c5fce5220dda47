"""What the words of a report mean, on the report itself."""

from __future__ import annotations

from ops.reports.facts import Measure


def definitions(measure: Measure) -> tuple[tuple[str, str], ...]:
    """Return term and meaning, the headline measure first."""
    checked = "read in" if measure.is_verified else "not verified against"
    return (
        (
            _capital(measure.name),
            f"{measure.definition.rstrip('.')}. Window: {measure.window_hours} hours from "
            f"departure, elapsed time. Definition {checked} a published source: {measure.source}.",
        ),
        (
            "Counted",
            "For the hospital that sent the patient home, in the month of the index arrival. Only "
            "visits followed for the whole window count, in numerator and denominator alike.",
        ),
        (
            "ED visits",
            "After joining double registrations; every leg of a transfer and left without being "
            "seen included.",
        ),
        (
            "Index visits",
            "Unplanned stays that ended in discharge home, of a known person, with a known "
            "outcome.",
        ),
        ("95 % interval", "Wilson score interval of one rate."),
        (
            "XmR chart",
            "Mean and limits of 2.66 mean moving ranges, of the months shown. Special cause: a "
            "month outside the limits; seven in a row on one side of the mean, or rising or "
            "falling; two of three near a limit.",
        ),
        (
            "Funnel",
            "Limits around the pooled rate of the hospitals shown, widened for over-dispersion "
            "(Spiegelhalter 2005). Other hospitals are shown as published: no count of 1 to 10, "
            "and none that could be worked out.",
        ),
        (
            "Times",
            "Median and 90th percentile in whole minutes, of the visits that were measured. "
            "Boarding: of admitted visits, decision to departure.",
        ),
        (
            "Patients in the ED",
            "From arrival to departure, counted at each full hour; visits whose departure is not "
            "known are left out.",
        ),
    )


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]

"""The entry point: navigation over the pages. Pages live in app_pages/, never in pages/.

Streamlit serves a folder named pages/ by itself, past any check made here.
"""

from __future__ import annotations

import streamlit as st

PAGES = (
    ("app_pages/ed_returns.py", "ED returns", "ed-returns"),
    ("app_pages/ed_flow.py", "ED flow", "ed-flow"),
    ("app_pages/chart_reviews.py", "Chart audit", "chart-audit"),
    ("app_pages/claims.py", "Claims", "claims"),
    ("app_pages/cohorts.py", "Cohorts", "cohorts"),
    ("app_pages/data_quality.py", "Data quality", "data-quality"),
)


def main() -> None:
    """Set up the page and run the one that was asked for."""
    st.set_page_config(page_title="Scutari", layout="wide", initial_sidebar_state="collapsed")
    pages = [
        st.Page(path, title=title, url_path=url, default=position == 0)
        for position, (path, title, url) in enumerate(PAGES)
    ]
    st.navigation(pages, position="top").run()


main()

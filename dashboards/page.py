"""What every page has: style, title, banner, view, data-as-of, and tables under their charts."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import streamlit as st

from dashboards import tables
from dashboards.access import choose_view
from dashboards.queries import View, publication


def open_page(title: str) -> View:
    """Draw the head of a page and return the view its figures come from."""
    st.html(tables.STYLE)
    st.title(title)
    banner = st.container()
    left, _ = st.columns(2)
    with left:
        view = choose_view()
    facts = publication(view)
    with banner:
        if facts["is_synthetic"]:
            st.html(
                '<div class="s-banner" role="note"><b>Synthetic data.</b> These patients, '
                "hospitals and figures are made up.</div>"
            )
        st.html(
            '<div class="s-note">'
            f"Data complete to <b>{facts['data_through_at']:%d %b %Y %H:%M} UTC</b> · "
            f"snapshot <b>{escape(facts['snapshot_id'])}</b> · "
            f"published {facts['published_at']:%d %b %Y %H:%M} UTC</div>"
        )
    if not view.is_network:
        note(
            "This hospital's own figures are whole: keep them in the hospital. Sign-in comes "
            "later; until then this server must not be reachable from other machines."
        )
    return view


def table_under_chart(
    caption: str, columns: Sequence[tables.Column], rows: Sequence[dict[str, Any]]
) -> None:
    """Put a readable table under a chart, one click away."""
    with st.expander("Show these figures as a table"):
        st.html(tables.table(caption, columns, rows))


def note(words: str) -> None:
    """Write a remark in small print."""
    st.html(tables.note(words))


def chart(spec: dict[str, Any]) -> None:
    """Draw a specification over the width of its container."""
    st.vega_lite_chart(spec, theme=None, width="stretch")

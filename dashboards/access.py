"""Whose figures a page shows. Every page asks here first; sign-in and roles will hook in here.

Until there is a sign-in, whoever reaches the server may open every hospital's own view: the
installation's address must stay on the machine (it is bound to 127.0.0.1).
"""

from __future__ import annotations

import duckdb
import streamlit as st

from dashboards.queries import NETWORK, View, find_views, hospitals
from governance.settings import Settings, default_home

_CHOSEN = "scope"


def nothing_published(settings: Settings) -> str:
    """Return what to say where there is nothing to show."""
    return (
        f"Nothing has been published in {settings.published}: run `make demo` for the synthetic "
        "network, or `scutari run` on your own databases."
    )


def choose_view() -> View:
    """Draw the selector and return the chosen view; stop the page where there is none."""
    settings = Settings(home=default_home())
    views = find_views(settings)
    if not views:
        st.error(nothing_published(settings))
        st.stop()
    try:
        names = {row["hospital_key"]: row["hospital_name"] for row in hospitals(views[NETWORK])}
    except duckdb.Error as error:
        st.error(
            f"{views[NETWORK].path} cannot be read ({type(error).__name__}): run `scutari publish`."
        )
        st.stop()
    scopes = list(views)
    # The widget's own state is lost when the reader turns to another page; this copy is not.
    chosen = st.session_state.get(_CHOSEN, NETWORK)
    scope = st.selectbox(
        "Whose figures",
        scopes,
        index=scopes.index(chosen) if chosen in scopes else 0,
        format_func=lambda key: _name(key, names),
        help="The network's figures hide counts of 1 to 10; a hospital sees its own whole.",
        key="scope_selector",
    )
    st.session_state[_CHOSEN] = scope
    return views[scope]


def require_own(view: View) -> str:
    """Return the hospital of the view; stop a page that is a hospital's own in the network's."""
    if view.is_network:
        st.info("This page is a hospital's own: choose the hospital above.")
        st.stop()
    return view.scope


def _name(scope: str, names: dict[str, str]) -> str:
    if scope == NETWORK:
        return "Network (small counts hidden)"
    return f"{names.get(scope) or scope}: own figures"

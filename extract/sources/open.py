"""Which kind of source the settings ask for."""

from __future__ import annotations

from extract.sources.base import Source
from governance.settings import SourceSettings


def open_source(settings: SourceSettings) -> Source:
    """Return the source, not yet connected."""
    if settings.kind == "sqlite":
        from extract.sources.sqlite import SqliteSource  # noqa: PLC0415

        return SqliteSource(settings)
    from extract.sources.postgres import PostgresSource  # noqa: PLC0415

    return PostgresSource(settings)

"""A published small installation for the tests of the pages."""

from __future__ import annotations

from pathlib import Path

from governance.settings import Settings
from ops.publication.publish import publish
from tests.helpers.small_warehouse import build_small_warehouse


def publish_small(home: Path, *, is_synthetic: bool = True) -> Settings:
    """Build the small warehouse under ``home`` and publish it."""
    build_small_warehouse(home, is_synthetic=is_synthetic)
    settings = Settings(home=home, is_synthetic=is_synthetic)
    publish(settings)
    return settings

"""Reports of a small published installation, and what stands in them."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path

import duckdb
from pypdf import PdfReader
from pypdf.generic import StreamObject

from governance.settings import SETTINGS_FILE, Settings, load_settings
from ops.publication.publish import publish
from ops.reports.write import opened_batch
from tests.helpers.small_warehouse import Cell, build_small_warehouse, ed_return_cells, write_record

QUARTER = "2024-Q4"


def published_home(
    home: Path,
    *,
    cells: Sequence[Cell] | None = None,
    hospitals: Sequence[str] = (),
    changes: Sequence[str] = (),
) -> Settings:
    """Publish a small installation.

    Args:
        home: where.
        cells: its counts of ED returns; drawn ones where none are given.
        hospitals: those that it has, and whose counts are taken; all where none are named.
        changes: statements that change its warehouse before the publication.
    """
    chosen = cells if cells is not None else ed_return_cells()
    path = build_small_warehouse(
        home, cells=[cell for cell in chosen if not hospitals or cell.hospital_key in hospitals]
    )
    with duckdb.connect(str(path)) as con:
        if hospitals:
            names = ", ".join(f"'{key}'" for key in hospitals)
            con.execute(f"delete from core.dim_hospitals where hospital_key not in ({names})")
            con.execute(
                "create or replace table published.dim_hospitals as from core.dim_hospitals"
            )
        for statement in changes:
            con.execute(statement)
    write_record(home)
    (home / SETTINGS_FILE).write_text(
        'synthetic = true\n[sources.ehr]\nkind = "sqlite"\npath = "x"'
    )
    settings = load_settings(home)
    publish(settings)
    return settings


def copied(settings: Settings, home: Path) -> Settings:
    """Return a copy of an installation, to be changed."""
    shutil.copytree(settings.home, home, symlinks=True)
    return load_settings(home)


def write(settings: Settings, hospital: str, *, quarter: str = QUARTER) -> tuple[bytes, bytes]:
    """Write a hospital's report; return its HTML and its PDF."""
    with opened_batch(settings, quarter) as batch:
        return read(batch.write(hospital))


def read(folder: Path) -> tuple[bytes, bytes]:
    """Return the HTML and the PDF of one report."""
    page, pdf = sorted(folder.iterdir())
    assert (page.suffix, pdf.suffix) == (".html", ".pdf")
    return page.read_bytes(), pdf.read_bytes()


def words_of(pdf: bytes) -> str:
    """Return the text of a PDF with single spaces."""
    return " ".join(" ".join(page.extract_text() for page in PdfReader(BytesIO(pdf)).pages).split())


def streams_of(pdf: bytes) -> bytes:
    """Return everything that is in a PDF, unpacked: contents, pictures, descriptions, metadata."""
    reader = PdfReader(BytesIO(pdf))
    found = []
    for number in range(1, len(reader.xref[0]) + len(reader.xref_objStm) + 1):
        thing = reader.get_object(number)
        if thing is None:
            continue
        found.append(str(thing).encode())
        if isinstance(thing, StreamObject):
            found.append(thing.get_data())
    return b"\n".join(found)


class Read(HTMLParser):
    """What a page says: its text, and its tables by caption."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.tables: dict[str, list[list[str]]] = {}
        self.hidden_tables: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self._caption = ""
        self.feed(page.decode())
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self._open.append(tag)
        if tag == "table":
            self._caption = ""
        if tag == "tr":
            self.tables[self._caption].append([])
        if tag in ("td", "th"):
            self.tables[self._caption][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if {"style", "svg"} & set(self._open):
            return
        self.text += data
        if "caption" in self._open:
            self._caption += data
            self.tables[self._caption] = []
            if "details" in self._open:
                self.hidden_tables.add(self._caption)
        elif {"td", "th"} & set(self._open):
            self.tables[self._caption][-1][-1] += data

    def row(self, caption: str, name: str) -> list[str]:
        """Return the figures of one row of the table whose caption has these words."""
        (table,) = (rows for words, rows in self.tables.items() if caption in words)
        (found,) = (row[1:] for row in table if re.sub(r"\s", " ", row[0]) == name)
        return [re.sub(r"\s", " ", cell) for cell in found]

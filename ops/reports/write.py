"""Reports written: of each hospital both files or neither, all out of one published version."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from governance.errors import ReportError
from governance.files import mend_replaced, replace_directory, sync
from governance.locks import exclusive
from governance.settings import Settings
from ops.publication.publish import HOSPITAL_KEY
from ops.reports.documents import html_document, pdf_document
from ops.reports.facts import (
    Hospital,
    Measure,
    gather,
    read_hospitals,
    read_measures,
    require_closed,
)
from ops.reports.page import lay_out
from ops.reports.published import File, Version, opened_network, opened_own
from ops.reports.quarters import Quarter, read_quarter

# Whole counts of a hospital: for the account that wrote them.
FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


@dataclass(frozen=True)
class Batch:
    """The reports of one quarter, out of one published version.

    Attributes:
        directory: where they are written, a directory for each hospital in it.
    """

    settings: Settings
    quarter: Quarter
    version: Version
    hospitals: Mapping[str, Hospital]
    measures: Sequence[Measure]
    network: File
    directory: Path

    def require(self, hospital: str) -> str:
        """Return a hospital's key if there is such a hospital.

        Raises:
            ReportError: there is none.
        """
        if hospital not in self.hospitals:
            raise ReportError(
                f"There is no hospital {hospital!r}: this publication has "
                f"{', '.join(self.hospitals)}."
            )
        return hospital

    def write(self, hospital: str) -> Path:
        """Write both files of a hospital; return their directory.

        Raises:
            OSError: they cannot be written.
            ReportError: its file cannot be read, or it had no visits in the quarter.
        """
        with opened_own(self.settings, hospital, self.version) as own:
            report = gather(
                own,
                self.network,
                hospital=self.hospitals[hospital],
                hospitals=list(self.hospitals.values()),
                quarter=self.quarter,
                measures=self.measures,
                version=self.version,
            )
        page = lay_out(report)
        name = f"{hospital}_{self.quarter}"
        documents = {f"{name}.html": html_document(page), f"{name}.pdf": pdf_document(page)}
        return self._place(hospital, documents)

    def _place(self, hospital: str, documents: Mapping[str, bytes]) -> Path:
        folder = self.directory / hospital
        if folder.is_symlink():
            raise ReportError(f"{folder} is a link: a report is written to no other place.")
        folder.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        mend_replaced(folder)
        final, new = folder / str(self.quarter), folder / f".{self.quarter}.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=DIRECTORY_MODE)
        try:
            for name, content in documents.items():
                _write(new / name, content)
            sync(new)
            if final.exists():
                replace_directory(new, final)
            else:
                new.rename(final)
                sync(folder)
        except BaseException:
            shutil.rmtree(new, ignore_errors=True)
            raise
        return final


@contextmanager
def opened_batch(settings: Settings, quarter: str, out: Path | None = None) -> Iterator[Batch]:
    """Open what was published last for the reports of one quarter.

    Args:
        settings: the installation.
        quarter: as ``2026-Q1``.
        out: where to write; ``reports/`` of the installation where none is named.

    Raises:
        ReportError: the quarter is not one that can be reported, nothing is published, or
            another run writes there.
    """
    wanted = read_quarter(quarter)
    directory = (out or settings.reports).absolute()
    with opened_network(settings) as (version, network):
        hospitals, measures = read_hospitals(network), read_measures(network)
        require_closed(network, wanted, measures[0], version)
        for key in hospitals:
            if not HOSPITAL_KEY.fullmatch(key):
                raise ReportError(f"The hospital key {key!r} cannot name a directory.")
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
        refusal = ReportError(f"Reports are being written to {directory}: wait for that run.")
        with exclusive(directory, refusal):
            yield Batch(settings, wanted, version, hospitals, measures, network, directory)


def _write(path: Path, content: bytes) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())

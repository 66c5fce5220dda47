"""Erasing a person from everything, and the receipt that says what cannot be called back.

Four zones have a part in it: the extractor's, the builder's, that of releases, and that of the
pages with their chart reviews. Where they have accounts of their own, root starts it and each part
is done by its account (``governance.acting``).

The warehouse file goes whole: a deleted row's texts stay in the free blocks of a DuckDB file. So do
all operational files, which count the person openly, and older published ones. The network's newest
file stays until the next publication, which must extend it: it holds protected counts alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chart_audit.erasure import named_visits, remove_visits
from extract.erasure import tombstones
from extract.erasure.erase import ErasureReport, Plan, erase, erase_again, plan_erasure
from extract.lake import sha256_of
from governance.acting import Part, Steps, part
from governance.errors import ErasureError
from governance.files import write_whole
from governance.locks import exclusive
from governance.settings import Settings
from ops.build import record_path
from ops.publication.publish import CURRENT
from ops.release.files import hold
from ops.release.gate import WORK
from ops.reports.removal import remove_reports
from ops.warehouse import held

RECEIPTS = "erasures"
ELSEWHERE = (
    "backups of vault, lake, restricted zone, warehouse, chart reviews and keys: destroy what is "
    "older than this erasure, or run `scutari erase --again` after each restore of one",
    "copies that readers of the warehouse made: DuckDB files, exports, Spark warehouses",
    "the network's published figures of closed periods: they stay as they were shown, and count "
    "the person among eleven or more",
    "worklists, figures and hospital reports that were downloaded, printed or sent: reports in "
    "reports/ are gone, write them again after the next publication",
    "a steward's decision (`scutari match`) about one of the registrations: its id in the source "
    "stays in vault/decisions.jsonl, encrypted, since the record of decisions is one chain",
    "what the release ledger holds of persons: keyed digests, to refuse linkable releases",
    "the operational databases themselves, and whatever they feed beside this one",
    "blocks of the disk that deleted files lay in, unless it is encrypted or overwritten",
)


@dataclass(frozen=True)
class GivenRelease:
    """A release that may be in the hands of researchers."""

    name: str
    written_at: str
    manifest_sha256: str


@dataclass(frozen=True)
class Receipt:
    """What was erased, in counts, and what cannot be recalled; it names nobody.

    Attributes:
        number: of the tombstone; None where earlier erasures were applied again.
        erased_at: UTC.
        reason: a code.
        registrations: how many the person had.
        rows: rows of the newest snapshot by table.
        snapshots: which were amended.
        files: how many files of lake and vault were written anew.
        quarantined: how many values in quarantine were removed.
        removed: files removed whole: warehouse, operational and published figures.
        reviews: chart reviews removed, with their comments and history.
        releases: what was given out.
        elsewhere: copies of which this installation knows nothing.
    """

    number: int | None
    erased_at: str
    reason: str | None
    registrations: int | None
    rows: dict[str, int]
    snapshots: tuple[str, ...]
    files: int
    quarantined: int
    removed: int
    reviews: int
    releases: tuple[GivenRelease, ...]
    elsewhere: tuple[str, ...] = ELSEWHERE

    def __str__(self) -> str:
        rows = ", ".join(f"{name} {count:,}" for name, count in self.rows.items()) or "none"
        what = "tombstones applied again" if self.number is None else f"erasure {self.number}"
        lines = [
            f"{what} ({self.erased_at}): {len(self.snapshots)} snapshots amended, {self.files:,} "
            f"files written anew, {self.quarantined:,} values out of quarantine, {self.removed:,} "
            f"built or published files and {self.reviews:,} chart reviews removed",
            f"rows of the newest snapshot: {rows}",
            "cannot be recalled:",
        ]
        lines += [
            f"- release {r.name} of {r.written_at}, manifest {r.manifest_sha256}: its recipients "
            "keep what they have; write it anew and ask them to destroy the old one"
            for r in self.releases
        ]
        return "\n".join([*lines, *(f"- {place}" for place in self.elsewhere)])


def plan_person(settings: Settings, named: str, reason: str) -> Plan:
    """Say what erasing a person would take out; nothing is changed.

    Raises:
        ErasureError: as ``plan_erasure``.
    """

    def steps() -> Steps:
        yield asdict(plan_erasure(settings, named, reason))

    with _part(settings, "extractor", steps(), _cut_off("nothing was changed")) as plan:
        return Plan(**plan(None))


def erase_person(
    settings: Settings,
    named: str,
    reason: str,
    request: str,
    progress: Callable[[str], None] = lambda _: None,
) -> Receipt:
    """Take a person out of this installation; afterwards build and publish.

    Args:
        settings: the installation.
        named: a registration token or person id.
        reason: a code of ``ERASURE_REASONS``.
        request: what the dry run gave out.
        progress: is told what is being done.

    Raises:
        BuildError: a build is running, or a program has the warehouse open.
        ChartAuditError: a store of chart reviews cannot be opened; nothing was changed.
        ErasureError: nobody is named, or what is there is not what the request names.
    """
    return _finished(settings, lambda: erase(settings, named, reason, request, progress))


def apply_again(settings: Settings, progress: Callable[[str], None] = lambda _: None) -> Receipt:
    """Apply every tombstone again: after a restore, or where an erasure was cut off.

    Raises:
        BuildError: a build is running, or a program has the warehouse open.
        ChartAuditError: a store of chart reviews cannot be opened; nothing was changed.
        ErasureError: the tombstones are older than what is there.
    """
    return _finished(settings, lambda: erase_again(settings, progress))


def _finished(settings: Settings, act: Callable[[], ErasureReport]) -> Receipt:
    """Have each account do its part; whoever builds or releases waits until all is done."""
    cut_off = _cut_off("run `scutari erase --again`")
    with (
        _part(settings, "builder", _builders_part(settings), cut_off) as built,
        _part(settings, "release", _releases_part(settings), cut_off) as released,
        _part(settings, "dashboards", _dashboards_part(settings), cut_off) as reviewed,
        _part(settings, "extractor", _extractors_part(settings, act), cut_off) as snapshots,
    ):
        built(None)
        released(None)
        reviewed(None)
        snapshots(None)
        done = {"removed": built(None), "releases": released(None)}
        # Which of the visits go, only the extractor's keys can tell.
        done["reviews"] = reviewed(snapshots(reviewed(None)))
        return _read_receipt(snapshots(done))


def _part(
    settings: Settings, zone: str, steps: Steps, cut_off: ErasureError
) -> AbstractContextManager[Part]:
    account: str | None = getattr(settings.accounts, zone) if settings.accounts else None
    return part(account, steps, cut_off)


def _cut_off(advice: str) -> ErasureError:
    return ErasureError(f"A part of the erasure was cut off: {advice}.")


def _builders_part(settings: Settings) -> Steps:
    """Hold off builds and publications, then remove what was built."""
    with held(settings), _no_publication(settings):
        yield None
        yield _remove_built(settings)
        yield None


def _releases_part(settings: Settings) -> Steps:
    """Hold off releases, then remove what one that was cut off left, and say what was given out."""
    settings.release.mkdir(parents=True, exist_ok=True)
    with hold(settings.release):
        yield None
        for attempt in (settings.release / WORK, *settings.release.glob(".*.tmp")):
            shutil.rmtree(attempt, ignore_errors=True)
        yield [asdict(release) for release in _releases(settings.release)]
        yield None


def _dashboards_part(settings: Settings) -> Steps:
    """See that every store opens, name the visits in them, and remove those that go.

    Hospital reports go, too: like operational files they count the person openly.
    """
    named_visits(settings)
    yield None
    gone = yield named_visits(settings)
    remove_reports(settings)
    yield remove_visits(settings, frozenset(gone))


def _extractors_part(settings: Settings, act: Callable[[], ErasureReport]) -> Steps:
    """Erase from lake, vault, quarantine and token maps; end it with a receipt."""
    report = act()
    visits = yield None
    others = yield tombstones.under_tombstones(settings, visits)
    releases = tuple(GivenRelease(**release) for release in others["releases"])
    receipt = _receipt(
        report, removed=others["removed"], reviews=others["reviews"], releases=releases
    )
    _keep(settings, receipt)
    tombstones.end(settings)
    yield asdict(receipt)


@contextmanager
def _no_publication(settings: Settings) -> Iterator[None]:
    settings.published.mkdir(parents=True, exist_ok=True, mode=0o750)
    refusal = ErasureError("A publication is running: wait until it has ended.")
    with exclusive(settings.published / ".lock", refusal):
        yield


def _remove_built(settings: Settings) -> int:
    """Remove everything that was made of the snapshots and may still show the person."""
    # The record first: without it nobody publishes from half a warehouse.
    record_path(settings).unlink(missing_ok=True)
    files = [*settings.builders.glob(f"{settings.warehouse.name}*")]
    for zone in (settings.published, *sorted(settings.operational.glob("*"))):
        # Hidden ones, too: what a publication that was cut off left.
        files += [path for path in zone.glob("*") if ".duckdb" in path.name]
    # The next publication must extend the last one, of which nothing but what was public is in it.
    network = settings.published / CURRENT
    files = [path for path in files if path not in (network, network.resolve())]
    for path in files:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for name in ("build", "release_build", "spill"):
        shutil.rmtree(settings.work / name, ignore_errors=True)
    return len(files)


def _receipt(
    report: ErasureReport, *, removed: int, reviews: int, releases: tuple[GivenRelease, ...]
) -> Receipt:
    tombstone = report.tombstone
    return Receipt(
        number=tombstone.number if tombstone else None,
        erased_at=tombstone.at if tombstone else datetime.now(UTC).isoformat(timespec="seconds"),
        reason=tombstone.reason if tombstone else None,
        registrations=tombstone.registrations if tombstone else None,
        rows=dict(sorted(report.rows.items())),
        snapshots=tuple(s.name for s in report.snapshots if s.is_changed),
        files=sum(s.lake_files + s.vault_files for s in report.snapshots),
        quarantined=sum(s.quarantined_rows for s in report.snapshots),
        removed=removed,
        reviews=reviews,
        releases=releases,
    )


def _read_receipt(body: dict[str, Any]) -> Receipt:
    """Read a receipt that came from another process, where tuples have become lists."""
    releases = tuple(GivenRelease(**release) for release in body["releases"])
    lists = {name: tuple(body[name]) for name in ("snapshots", "elsewhere")}
    return Receipt(**body | lists | {"releases": releases})


def _releases(folder: Path) -> Iterator[GivenRelease]:
    for manifest in sorted(folder.glob("[!.]*/manifest.json")):
        written = datetime.fromtimestamp(manifest.stat().st_mtime, UTC)
        yield GivenRelease(
            manifest.parent.name, written.isoformat(timespec="seconds"), sha256_of(manifest)
        )


def _keep(settings: Settings, receipt: Receipt) -> None:
    folder = settings.restricted / RECEIPTS
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    name = receipt.erased_at.replace(":", "").replace("-", "").replace("+0000", "Z")
    text = json.dumps(asdict(receipt), indent=1) + "\n"
    write_whole(folder / f"{name}.json", text.encode(), 0o600)

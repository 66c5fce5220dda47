"""The ``scutari`` command line: one command for each thing an operator does.

Every error that has a cause a user can act on ends in one sentence on standard error and exit
code 1; a traceback means a defect.
"""

from __future__ import annotations

import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NoReturn

import click

from chart_audit.hand_over import SOURCE, hand_over
from governance.errors import ScutariError, SettingsError
from governance.settings import SETTINGS_FILE, Settings, default_home
from governance.settings import load_settings as read_settings
from ops.cli.broker import add_broker
from ops.cli.erase import register as register_erasure
from ops.cli.explain import add_explain
from ops.cli.ledger import add_ledger
from ops.cli.match import match
from ops.cli.report import add_report
from ops.cli.worklist import add_worklist
from ops.cli.zones import add_zones, demo_option
from ops.cli.zones import opened_settings as load_settings
from ops.demo_reviews import forget_reviews, plant_reviews
from ops.publication.history import forget_publications
from ops.serve import DEFAULT_PORT, serve


class _Group(click.Group):
    """A command group that turns errors into one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, _end)
        try:
            return super().invoke(ctx)
        except ScutariError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(1)
        except (click.exceptions.Exit, click.ClickException, click.Abort):
            raise
        except OSError as error:
            if error.filename is None:
                _report_defect(ctx, error)
            click.echo(
                f"error: {error.filename}: {error.strerror}. Correct the path, its permissions or "
                "the space on its disk; what was published stays as it was.",
                err=True,
            )
            ctx.exit(1)
        except Exception as error:
            _report_defect(ctx, error)


def _end(_number: int, _frame: object) -> NoReturn:
    # An exception, so that what was begun is cleaned up and no child outlives its parent.
    raise SystemExit(128 + signal.SIGTERM)


def _report_defect(ctx: click.Context, error: Exception) -> NoReturn:
    # A library's message can hold the value it stumbled over: only its place is told.
    frame = traceback.extract_tb(error.__traceback__)[-1]
    click.echo(
        f"error: a defect of Scutari: {type(error).__name__} in {frame.name} "
        f"({Path(frame.filename).name}:{frame.lineno}). What was published stays as it "
        "was; please report this line.",
        err=True,
    )
    ctx.exit(1)


Scale = Literal["default", "ontario"]


def _home_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option(
        "--home",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="Where all data live (default: SCUTARI_HOME or var/).",
    )(demo_option(command))


@contextmanager
def _stage(title: str) -> Iterator[list[str]]:
    """Print a stage's title, then what it did and how long it took."""
    click.echo(f"{title} ...")
    outcome: list[str] = []
    started = time.monotonic()
    yield outcome
    click.echo(f"  {' '.join(outcome) or 'done'} ({time.monotonic() - started:.1f} s)")


def _say(message: str) -> None:
    click.echo(f"  {message}")


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="scutari")
def main() -> None:
    """Scutari: operational databases in, de-identified star schemas and dashboards out."""


@main.command()
@_home_option
@click.option("--visits", type=click.IntRange(min=500), default=60_000, show_default=True)
@click.option("--seed", type=int, default=1854, show_default=True)
@click.option("--scale", type=click.Choice(["default", "ontario"]), default="default")
@click.option(
    "--serve/--no-serve", "serve_pages", default=True, help="Start the dashboard at the end."
)
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True)
def demo(
    *, home: Path | None, visits: int, seed: int, scale: Scale, serve_pages: bool, port: int
) -> None:
    """Do the whole job on a synthetic hospital network, and serve its pages."""
    from demo.network import plant_network  # noqa: PLC0415
    from demo.plans import PlanError  # noqa: PLC0415

    directory = (home or default_home()).absolute()
    if (directory / SETTINGS_FILE).exists() and not read_settings(directory).is_synthetic:
        raise SettingsError(
            f"{directory} is a real installation (its {SETTINGS_FILE} does not say synthetic = "
            "true), and the demo would overwrite it: choose another place with --home."
        )
    with _stage("1/5 Operational databases of a synthetic network") as outcome:
        try:
            planted = plant_network(directory, visits=visits, seed=seed, scale=scale, progress=_say)
        except PlanError as error:
            raise SettingsError(f"The network cannot be planted: {error}") from None
        outcome.append(str(planted))
    settings = read_settings(directory)
    forget_publications(settings)
    # Their cases are those of another network, where the seed is another.
    forget_reviews(settings)
    _nightly(settings, first=2, of=5)
    with _stage("5/5 Research files") as outcome:
        outcome.append(_release_of_demo(settings))
    _say(
        f"{plant_reviews(settings)} ED returns reviewed by made-up reviewers; the next "
        "`scutari run` brings them into the marts"
    )
    click.echo(f"All data are in {directory}.")
    if serve_pages:
        _serve(settings, port)
    else:
        click.echo("Look at the pages with `scutari dashboard`.")


@main.command()
@_home_option
def run(home: Path | None) -> None:
    """The nightly job: snapshot, build, publish."""
    _nightly(load_settings(home), first=1, of=3)


@main.command()
@_home_option
@click.option("--full", is_flag=True, help="Read every partition again, changed or not.")
def snapshot(home: Path | None, full: bool) -> None:
    """Copy the operational databases into a new snapshot of the lake."""
    settings = load_settings(home)
    with _stage("Snapshot") as outcome:
        outcome.append(_snapshot(settings, full=full))


@main.command()
@_home_option
@click.argument("snapshot_id", required=False)
def verify(home: Path | None, snapshot_id: str | None) -> None:
    """Check a snapshot's files against its manifest (default: the current one)."""
    from extract.verify import verify_snapshot  # noqa: PLC0415

    with _stage("Verify") as outcome:
        outcome.append(str(verify_snapshot(load_settings(home), snapshot_id)))


@main.command()
@_home_option
def status(home: Path | None) -> None:
    """Say which sources, snapshots and publications there are."""
    from extract.status import describe_status  # noqa: PLC0415

    click.echo(describe_status(load_settings(home)))


@main.group()
def vault() -> None:
    """Look after the identity vault and its keys."""


@vault.command(name="rotate-key")
@_home_option
@click.option(
    "--old-keys",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where the old key's file is, if the settings now name another place or a service.",
)
def rotate_key(home: Path | None, old_keys: Path | None) -> None:
    """Lock the vault with a new master key; no file of it is written again."""
    from extract.rotation import rotate_master_key  # noqa: PLC0415

    with _stage("New master key") as outcome:
        outcome.append(str(rotate_master_key(load_settings(home), old_keys)))


@vault.command(name="rotate-tokens")
@_home_option
def rotate_tokens(home: Path | None) -> None:
    """Begin the next epoch of tokens: the next snapshot makes every token anew."""
    from extract.rotation import rotate_tokens as begin  # noqa: PLC0415

    with _stage("New token key") as outcome:
        outcome.append(str(begin(load_settings(home))))


@main.command()
@_home_option
def build(home: Path | None) -> None:
    """Build and test every model from the current snapshot (dbt build, recorded)."""
    settings = load_settings(home)
    with _stage("Build") as outcome:
        outcome.append(_build(settings))


@main.command()
@_home_option
@click.option(
    "--history-lost",
    is_flag=True,
    help="The last publication cannot be restored: show no period that is closed by now.",
)
def publish(*, home: Path | None, history_lost: bool) -> None:
    """Publish the last whole green build."""
    settings = load_settings(home)
    with _stage("Publish") as outcome:
        outcome.append(_publish(settings, is_history_lost=history_lost))


@main.command()
@_home_option
@click.argument("name")
@click.option(
    "--profile", default="open", show_default=True, help="open, safe_harbor_fields or limited."
)
@click.option("--agreement", help="The data use agreement of a limited release: DUA-2026-0017.")
@click.option(
    "--recipient", default="everybody", show_default=True, help="Code of who is given it."
)
def release(
    home: Path | None, name: str, profile: str, agreement: str | None, recipient: str
) -> None:
    """Write the research files of a release, whole or not at all."""
    from ops.release.write import write_release  # noqa: PLC0415

    settings = load_settings(home)
    with _stage(f"Release {name}") as outcome:
        report = write_release(
            settings, name, profile=profile, agreement=agreement, recipient=recipient
        )
        outcome.append(str(report))


add_ledger(main, _home_option)


add_broker(vault, _home_option)
add_explain(main, _home_option)
add_report(main, _home_option)
add_worklist(main, _home_option)
add_zones(main, _home_option)


@main.group()
def audit() -> None:
    """Check and read the audit log: what was done to the data, and by which account."""


@audit.command("verify")
@_home_option
@click.option(
    "--head",
    "head_file",
    type=click.Path(path_type=Path),
    default=None,
    help="A file with heads sent off earlier: the log must still extend them.",
)
def audit_verify(home: Path | None, head_file: Path | None) -> None:
    """Find gaps, edits, truncation and reordering."""
    from governance.audit.verify import read_heads, verify_logs  # noqa: PLC0415

    settings = load_settings(home)
    heads = read_heads(head_file) if head_file is not None else []
    for log in verify_logs(settings, heads):
        click.echo(str(log))
    if heads:
        click.echo(f"All {len(heads)} heads given are in it.")
    else:
        click.echo("No earlier head was given: an older state put back would not be noticed.")


@audit.command("head")
@_home_option
def audit_head(home: Path | None) -> None:
    """Print how far the log has come, signed: one line to send off this machine."""
    from governance.audit.verify import verify_logs  # noqa: PLC0415

    for log in verify_logs(load_settings(home)):
        click.echo(str(log.head()))


@audit.command("show")
@_home_option
@click.option(
    "--since",
    type=click.DateTime(formats=["%Y-%m-%d"]),
    default=None,
    help="The first day to show (UTC).",
)
def audit_show(home: Path | None, since: datetime | None) -> None:
    """Print the entries, one line each; the sound ones also of a damaged log."""
    from governance.audit.verify import read_logs, show_lines, verify_logs  # noqa: PLC0415

    settings = load_settings(home)
    for line in show_lines(read_logs(settings), since.date() if since else None):
        click.echo(line)
    verify_logs(settings)


@main.command()
@_home_option
@click.option("--port", type=click.IntRange(1, 65535), default=DEFAULT_PORT, show_default=True)
def dashboard(home: Path | None, port: int) -> None:
    """Serve the pages of what was published last."""
    _serve(load_settings(home), port)


@main.group()
def privacy() -> None:
    """What the compiled models say about privacy; needs no data."""


@privacy.command()
@click.option("--write-docs", is_flag=True, help="Write docs/privacy_columns.md as well.")
def check(write_docs: bool) -> None:
    """Follow every column that leaves the warehouse to its sources, and judge what arrives."""
    from ops.privacy.page import check_privacy  # noqa: PLC0415

    with _stage("Lineage of the operational, published and release columns") as outcome:
        outcome.append(check_privacy(write_docs=write_docs))


register_erasure(main)
main.add_command(match)


def _nightly(settings: Settings, *, first: int, of: int) -> None:
    with _stage(f"{first}/{of} Snapshot of the operational databases") as outcome:
        if SOURCE in settings.sources:
            # With accounts it is the dashboards' own step, and `run` is not there.
            _say(f"chart audit: {hand_over(settings)}")
        outcome.append(_snapshot(settings, full=False))
    with _stage(f"{first + 1}/{of} dbt build: models and tests") as outcome:
        outcome.append(_build(settings))
    with _stage(f"{first + 2}/{of} Publication") as outcome:
        outcome.append(_publish(settings))


def _snapshot(settings: Settings, *, full: bool) -> str:
    from extract.snapshot import take_snapshot  # noqa: PLC0415

    return str(take_snapshot(settings, full=full, progress=_say))


def _build(settings: Settings) -> str:
    from ops.build import run_build  # noqa: PLC0415

    return str(run_build(settings))


def _publish(settings: Settings, *, is_history_lost: bool = False) -> str:
    from ops.publication.publish import publish as publish_build  # noqa: PLC0415

    return str(publish_build(settings, is_history_lost=is_history_lost))


def _release_of_demo(settings: Settings) -> str:
    """Write the open release of a synthetic network, in place of one that an earlier demo wrote."""
    from ops.release.ledger import ReleaseLedger, close_release  # noqa: PLC0415
    from ops.release.write import EmptyReleaseError, write_release  # noqa: PLC0415

    for entry in ReleaseLedger(settings).entries:
        if not entry.closed_reason:
            close_release(settings, entry.release, "synthetic")
    shutil.rmtree(settings.release / "open", ignore_errors=True)
    try:
        return str(write_release(settings, "open"))
    except EmptyReleaseError as error:
        return str(error)


def _serve(settings: Settings, port: int) -> None:
    sys.exit(serve(settings, port, announce=click.echo))

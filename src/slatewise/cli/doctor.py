"""`slatewise doctor`."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import sqlite3
import sys
from dataclasses import asdict, dataclass
from typing import Annotated

import typer
from rich.markup import escape

from slatewise.cli.options import HomeOption, JsonOption, SetOption, home_path, home_settings, open_home
from slatewise.cli.terminal import print_json, results
from slatewise.domain.errors import NotReady, SlatewiseError
from slatewise.index.kernel import kernel_name
from slatewise.wiring.folders import Folders
from slatewise.wiring.home import Home
from slatewise.wiring.open_log import has_log
from slatewise.wiring.verify_job import verify_home

LOW_DISK_BYTES = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. ``verdict`` is ``ok``, ``note`` or ``bad``."""

    name: str
    verdict: str
    detail: str


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("doctor")(doctor)


def doctor(
    home: HomeOption = None,
    overrides: SetOption = None,
    verify: Annotated[
        bool,
        typer.Option("--verify", help="Check every event, every bundle's digests, and the stores against the log."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the installation and, where there is one, the HOME: settings, log, bundles, one answer. Exits 1 if bad."""
    checks = [*_installation(), *(_verified(home, overrides) if verify else ()), *_home(home, overrides)]
    if as_json:
        print_json([asdict(check) for check in checks])
    else:
        colours = {"ok": "green", "note": "yellow", "bad": "red"}
        for check in checks:
            results.print(f"[{colours[check.verdict]}]{check.verdict:>4}[/]  {check.name:<14} {escape(check.detail)}")
    if any(check.verdict == "bad" for check in checks):
        raise typer.Exit(1)


def _installation() -> list[Check]:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "onnxruntime", "usearch", "fastapi")]
    torch = importlib.util.find_spec("torch") is not None
    return [
        Check("python", "ok", f"{platform.python_version()} on {platform.machine()} {sys.platform}"),
        Check("libraries", "ok", ", ".join(versions)),
        Check("sqlite", "ok", sqlite3.sqlite_version),
        _kernel(),
        Check("torch", "ok", f"{importlib.metadata.version('torch')}: towers and ranker can be trained")
        if torch
        else Check(
            "torch", "note", "not installed: training makes spectral bundles only; pip install 'slatewise[train]'"
        ),
    ]


def _kernel() -> Check:
    name = kernel_name()
    if name == "numpy":
        return Check("index kernel", "note", "numpy: no compiler at install, so searches of large catalogues are slow")
    slow = "" if name != "portable" else ", without vector instructions"
    return Check("index kernel", "note" if slow else "ok", f"native, {name}{slow}")


def _home(home_option: HomeOption, overrides: list[str] | None) -> list[Check]:
    path = home_path(home_option)
    try:
        if not has_log(Folders(path).log, home_settings(path, overrides)):
            return [Check("home", "note", f"{path} is no HOME yet: slatewise import DIR --home {path}")]
        with open_home(home_option, overrides) as home:
            return [*_log(home), *_bundles(home)]
    except SlatewiseError as error:
        return [Check("home", "bad", str(error))]


def _verified(home_option: HomeOption, overrides: list[str] | None) -> list[Check]:
    path = home_path(home_option)
    settings = home_settings(path, overrides)
    if not has_log(Folders(path).log, settings):
        return []
    checks = []
    for found in verify_home(path, settings):
        checks.append(Check(found.name, "bad" if found.damage else "ok", found.detail))
        checks += [Check(found.name, "bad", damage) for damage in found.damage]
    return checks


def _log(home: Home) -> list[Check]:
    free = shutil.disk_usage(home.path).free
    items = int(home.catalogue.available.sum())
    return [
        Check("home", "ok", str(home.path)),
        Check("log", "ok", f"version {home.version:,}, {items:,} of {len(home.catalogue):,} items available"),
        Check("disk", "ok" if free > LOW_DISK_BYTES else "bad", f"{free / 1e9:.1f} GB free"),
    ]


def _bundles(home: Home) -> list[Check]:
    checks = []
    for bundle in home.bundles():
        try:
            home.registry.path(bundle.id)
        except SlatewiseError as error:
            checks.append(Check("bundle", "bad", f"{bundle.id}: {error}"))
    try:
        answer = home.recommend()
    except NotReady as error:
        return [*checks, Check("bundle", "note", str(error))]
    verdict = "ok" if answer.items and not answer.degraded else "bad"
    trouble = f", degraded: {'; '.join(answer.degraded)}" if answer.degraded else ""
    spent = answer.timing_ms["total"]
    detail = f"{answer.bundle} answers {len(answer.items)} items in {spent:.1f} ms{trouble}"
    return [*checks, Check("bundle", verdict, detail)]

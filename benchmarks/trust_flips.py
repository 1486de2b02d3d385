"""Single bits flipped in what a HOME keeps: the state afterwards is the same, or the damage is refused or found.

Never a different state without a word. The log is tried as it is after a clean end, with a checksum on every row, and
as a crash leaves it, with most of it in the write-ahead log; a bundle file by file.
"""

import random
import shutil
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest.mock import patch

from trust_store import Counts

from slatewise.bundles.registry import LIVE, FolderRegistry
from slatewise.domain.errors import SlatewiseError
from slatewise.domain.events import Event, Impression, Interaction, ItemChange, ItemRemoval, UserChange, UserRemoval
from slatewise.domain.settings import Settings
from slatewise.storage.digests import stored_digests
from slatewise.storage.log import SqliteEventLog
from slatewise.storage.verifying import verify_log
from slatewise.telemetry.clock import SystemClock

FIXTURE = Path(__file__).parents[1] / "tests" / "fixtures" / "home-0.1.tar.xz"
SETTINGS = Settings()
NAMES = SETTINGS.action_names
BUNDLE_SHARE = 0.2


def flips(cycles: int, seed: int, twin: str = "") -> Counts:
    """Flip *cycles* bits, one at a time, each in a fresh copy."""
    chance = random.Random(seed)
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as scratch, _twin(twin):
        root = Path(scratch)
        logs = {name: _state(Path(shutil.copytree(folder, root / "read"))) for name, folder in _logs(root)}
        registry = _bundles(root)
        how: Counter[str] = Counter()
        for _ in range(cycles):
            if chance.random() < BUNDLE_SHARE:
                how[_flip_bundle(registry, chance)] += 1
            else:
                name = chance.choice(sorted(logs))
                how[_flip_log(root / name, root / "flipped", logs[name], chance)] += 1
    silent = sum(times for name, times in how.items() if name.startswith(("silent", "undeclared")))
    return Counts(cycles=cycles, broken=silent, notes=[f"flips: {dict(sorted(how.items()))}"])


def _logs(root: Path) -> Iterator[tuple[str, Path]]:
    """Make the two logs, to be copied and not opened. What is copied from an open log is what a crash would leave."""
    clean, crashed = root / "clean", root / "crashed"
    clean.mkdir()
    crashed.mkdir()
    with SqliteEventLog(clean / "log.sqlite", NAMES) as log:
        for part in range(4):
            log.append(_events(part))
        for suffix in ("", "-wal", "-mark"):
            shutil.copy(clean / f"log.sqlite{suffix}", crashed)
    for folder in (clean, crashed):
        shutil.rmtree(root / "read", ignore_errors=True)
        yield folder.name, folder


def _events(part: int) -> list[Event]:
    clicks: list[Event] = [
        Interaction(
            user_id=f"u{i % 13}", item_id=f"i{i % 29}", action=NAMES[i % 3], at=float(i), event_id=f"{part}-{i}"
        )
        for i in range(60)
    ]
    things: list[Event] = [
        ItemChange(
            at=1.0, item_id=f"i{part * 7 + i}", title=f"Thing {i}, " * 40, attributes={"price": 2.5, "kind": "book"}
        )
        for i in range(7)
    ]
    return [
        *clicks,
        *things,
        UserChange(at=1.0, user_id=f"u{part}", attributes={"country": "de"}),
        Impression(at=2.0, user_id="u1", request_id=f"r{part}", shown=("i1", "i2")),
        ItemRemoval(at=3.0, item_id=f"i{part + 9}"),
        UserRemoval(at=3.0, user_id=f"u{part + 5}"),
    ]


def _bundles(root: Path) -> FolderRegistry:
    with tarfile.open(FIXTURE) as packed:
        packed.extractall(root, filter="data")
    return FolderRegistry(root / "home" / "bundles", SystemClock())


def _state(folder: Path) -> dict[str, str]:
    with SqliteEventLog(folder / "log.sqlite", NAMES) as log:
        return {**stored_digests(log, SETTINGS), "end": str(log.end)}


def _flip_log(source: Path, target: Path, expected: dict[str, str], chance: random.Random) -> str:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    kept = [file for file in sorted(target.iterdir()) if file.name.endswith(("sqlite", "-wal", "-mark"))]
    files = [file for file in kept if file.stat().st_size]
    where = _flip(chance.choices(files, [max(2_000, file.stat().st_size) for file in files])[0], chance)
    try:
        if _state(target) == expected:
            return "same"
    except SlatewiseError:
        return "refused"
    except Exception as error:  # noqa: BLE001  nobody who handles what is declared would be told
        return f"undeclared {type(error).__name__} ({source.name}/{where})"
    return "found" if verify_log(target / "log.sqlite").damages else f"silent ({source.name}/{where})"


def _flip_bundle(registry: FolderRegistry, chance: random.Random) -> str:
    live = registry.live()
    assert live is not None
    folder = registry.path(live)
    file = chance.choice([folder.parent / LIVE, *sorted(path for path in folder.rglob("*") if path.is_file())])
    whole = file.read_bytes()
    where = _flip(file, chance)
    try:
        opened = registry.path(registry.live() or "")
        return "same" if opened == folder and file.name == LIVE else f"silent ({where})"
    except SlatewiseError:
        return "refused"
    finally:
        file.write_bytes(whole)


def _flip(file: Path, chance: random.Random) -> str:
    whole = bytearray(file.read_bytes())
    place, bit = chance.randrange(len(whole)), chance.randrange(8)
    whole[place] ^= 1 << bit
    file.write_bytes(whole)
    return f"{file.name}, byte {place}, bit {bit}"


class _Whatever:
    """Equal to any checksum."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


@contextmanager
def _twin(name: str) -> Iterator[None]:
    with ExitStack() as broken:
        if name == "without_sums":
            for room in ("reading", "verifying"):
                broken.enter_context(patch(f"slatewise.storage.{room}.row_sum", lambda fields: _Whatever()))
        if name == "without_mark":
            for room in ("log", "verifying"):
                broken.enter_context(patch(f"slatewise.storage.{room}.check_mark", lambda log, lend: None))
        yield

"""Puts a program where data belongs, everywhere in a HOME, and tells what became of it. Run as a process of its own:

an audit hook stays for as long as its process lives. At the end the fault is put in that the test looks for, arrays
that may hold objects, to show that it would have been seen.
"""

import io
import json
import os
import pickle  # noqa: TID251  the program in question
import shutil
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from slatewise.bundles.manifest import MANIFEST, seal
from slatewise.domain.errors import SlatewiseError
from slatewise.http.app import create_app
from slatewise.http.server import running
from slatewise.testing.worlds import walkers
from slatewise.wiring.home import Home

SETTINGS = {"training.deep": "off", "training.dim": 16}

BOMB = bytes.fromhex(
    "080a3a470a110a017a0a016e1201792206457870616e641201672a110801100742016e4a0800000000020000002a0d080110"
    "0142017a4a0400000000620d0a017912080a06080112020a0042040a001012"
)
"""An ONNX graph of one operator, Expand: one zero to 2^33 of them."""

found_classes: list[str] = []
unlike: list[str] = []
"""Errors that are none of ours."""


def listen(event: str, arguments: Any) -> None:
    if event == "pickle.find_class":
        found_classes.append(".".join(map(str, arguments)))


class Canary:
    def __init__(self, sign: Path) -> None:
        self._sign = sign

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._sign),)


def programs(sign: Path) -> dict[str, bytes]:
    """The same program as it is, inside of an array, and inside of an archive of arrays."""
    array, archive = io.BytesIO(), io.BytesIO()
    objects = np.array([Canary(sign)], dtype=object)
    np.save(array, objects, allow_pickle=True)
    names = ("total", "windows", "landmark", "pairs", "starts", "vectors", "rows")
    np.savez(archive, allow_pickle=True, **dict.fromkeys(names, objects))
    return {"pickle": pickle.dumps(Canary(sign)), "array": array.getvalue(), "archive": archive.getvalue()}


def in_bundles(path: Path, bundle: str, made: dict[str, bytes], kinds: dict[str, list[str]]) -> list[str]:
    """Replace each file of a bundle in turn, by programs of the *kinds* for its suffix, seal it anew and promote it.

    Return the files that were taken.
    """
    taken = []
    source = path / "bundles" / bundle
    files = [file.relative_to(source) for file in source.rglob("*") if file.is_file() and file.name != MANIFEST]
    tried = [(name, kind) for name in files for kind in kinds.get(name.suffix, kinds.get("", []))]
    with Home(path, settings=SETTINGS) as home:
        for number, (name, kind) in enumerate(tried):
            staged = path / "bundles" / f"new-{number}"
            shutil.copytree(source, staged)
            (staged / name).write_bytes(made[kind])
            manifest = seal(staged, created_at=1_000.0 + number)
            staged.rename(staged.with_name(manifest.id))
            try:
                home.promote(manifest.id)
                taken.append(str(name))
                home.recommend("u1")
                home.promote(bundle)
            except SlatewiseError:
                pass
            except Exception as error:  # noqa: BLE001  told with the file, for all files at once
                unlike.append(f"{name}: {type(error).__name__}: {error}"[:200])
            shutil.rmtree(path / "bundles" / manifest.id)
    return taken


def bombed(path: Path, bundle: str) -> str:
    """Promote a bundle that holds a graph which asks for 32 GiB. Return why it was refused, and what is live."""
    staged = path / "bundles" / "bombed"
    shutil.copytree(path / "bundles" / bundle, staged)
    (staged / "ranker.onnx").write_bytes(BOMB)
    manifest = seal(staged, created_at=2_000.0)
    staged.rename(staged.with_name(manifest.id))
    with Home(path, settings=SETTINGS) as home:
        try:
            home.promote(manifest.id)
        except SlatewiseError as error:
            return f"{error} / {home.live_bundle == bundle}"
    return "accepted"


def in_imports(path: Path, program: bytes) -> None:
    for name in ("interactions.csv", "interactions.parquet", "interactions.jsonl", "items.csv", "ratings.dat"):
        folder = path.with_name("import")
        folder.mkdir()
        (folder / "interactions.csv").write_text("user_id,item_id\nu,i\n")
        (folder / name).write_bytes(program)
        with Home(path, settings=SETTINGS) as home, suppress(SlatewiseError):
            home.import_data(folder)
        shutil.rmtree(folder)


def in_home(path: Path, program: bytes) -> None:
    for name in ("keys.json", "slatewise.toml", "bundles/LIVE", "bundles/HISTORY"):
        file = path / name
        before = file.read_bytes() if file.exists() else None
        file.write_bytes(program)
        with suppress(SlatewiseError), Home(path, settings=SETTINGS) as home:
            home.recommend("u1")
            home.bundles()
        file.unlink()
        if before is not None:
            file.write_bytes(before)


def over_http(path: Path, program: bytes) -> list[int]:
    statuses = []
    home = Home(path, settings=SETTINGS)
    with running(create_app(home, home.metrics, home.clock)) as url, httpx.Client(base_url=url) as client:
        for method, route in (("POST", "recommendations"), ("POST", "events"), ("PUT", "items"), ("PUT", "users")):
            for kind in ("application/json", "application/octet-stream", "application/x-python-pickle"):
                sent = partial(client.request, method, f"/v1/{route}", headers={"content-type": kind})
                statuses.append(sent(content=program).status_code)
        statuses.append(client.get("/v1/recommendations/" + "".join(f"%{byte:02x}" for byte in program)).status_code)
    return statuses


def main(folder: Path) -> None:
    path, sign = folder / "home", folder / "sign"
    items, users, events = walkers(users=20)
    told: dict[str, Any] = {}
    made = programs(sign)
    sys.addaudithook(listen)
    with Home(path, settings=SETTINGS) as home:
        home.put_items(items)
        home.put_users(users)
        home.record(events)
        bundle = home.train().bundle
    told["taken"] = in_bundles(path, bundle, made, {".npy": ["array", "archive"], ".npz": ["archive"], "": ["pickle"]})
    in_imports(path, made["pickle"])
    in_home(path, made["pickle"])
    told["statuses"] = over_http(path, made["pickle"])
    told["bomb"] = bombed(path, bundle)
    told |= {"unlike": unlike, "executed": sign.exists(), "classes": list(found_classes)}
    # The twin: as somebody would who wanted objects in a bundle. Nothing but that one word stands in the way.
    load = np.load
    np.load = lambda *a, **k: load(*a, **{**k, "allow_pickle": True})
    in_bundles(path, bundle, made, {".npz": ["archive"]})
    told["twin"] = {"executed": sign.exists(), "classes": list(found_classes)}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(Path(sys.argv[1]))

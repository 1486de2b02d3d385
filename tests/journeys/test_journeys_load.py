"""The load tool against a real server process."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import slatewise
from slatewise.testing.worlds import walkers


def test_bench_loads_a_real_server_with_every_kind_of_request(tmp_path: Path, serve: Callable[[Path], Any]) -> None:
    items, _, events = walkers(users=30)
    with slatewise.open(tmp_path / "home", settings={"training.deep": "off"}) as home:
        home.put_items(items)
        home.record(events)
        home.train()
    server = serve(tmp_path / "home")
    before = server.http.get("/v1/items/c0-1").json()
    mix = "fresh=0.2,returning=0.5,event=0.15,item=0.15"
    command = [sys.executable, "-m", "slatewise", "bench", "--url", f"http://127.0.0.1:{server.port}", "--name", "b1"]
    command += ["--rate", "60", "--duration", "2", "--warmup", "0.5", "--users", "20", "--mix", mix, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert set(told["kinds"]) == {"fresh", "returning", "event", "item"}
    assert told["all"]["ok"] == told["all"]["sent"] > 60, told["all"]["errors"]
    assert told["kinds"]["fresh"]["cached"] == 0.0
    assert 0 < told["kinds"]["returning"]["cached"] < 1, "cached until an event of that user, or an item, changes it"
    assert told["kinds"]["event"]["latency_ms"]["p50"] > 0
    after = server.http.get("/v1/items/c0-1").json()
    assert {**after, "changed_at": None} == {**before, "changed_at": None}
    other = {"user_id": "b1-u0", "item_id": "c0-1", "action": "click", "event_id": "b1-u0-h0"}
    assert server.http.post("/v1/events", json={"events": [other]}).status_code == 409, "that id is on disk"

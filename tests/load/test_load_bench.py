"""`slatewise bench` as scripts use it: exit codes, JSON last on stdout, Ctrl-C."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from slatewise.cli.main import app, main

from .conftest import SLATE, Asked, Tiny, answer

BENCH = [sys.executable, "-m", "slatewise", "bench"]


@pytest.fixture
def shop(tiny: Tiny) -> Tiny:
    def reply(asked: Asked) -> bytes:
        return answer(SLATE if asked.path == "/v1/recommendations" else {"accepted": 1, "items": []})

    tiny.reply = reply
    return tiny


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the verb in this process and returns the exit code."""

    def called(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["slatewise", "bench", *arguments])
        with pytest.raises(SystemExit) as exited:
            main()
        return int(exited.value.code or 0)

    return called


def test_it_reports_in_json_alone_on_stdout_and_to_people_on_stderr(
    shop: Tiny, tmp_path: Path, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    plot = tmp_path / "load.html"
    traffic = ("--rate", "200", "--duration", "0.4", "--warmup", "0.1", "--users", "10")
    assert call("--url", shop.url, *traffic, "--plot", str(plot), "--json") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["all"]["ok"] == told["all"]["sent"] > 30
    assert set(told["kinds"]) == {"fresh", "returning", "event"}
    assert isinstance(told["generator_limited"], bool)
    assert told["name"].startswith("bench-")
    assert "Latency in ms" in err
    assert "load done" in err
    assert plot.read_text().count("<svg") == 2


def test_ctrl_c_ends_the_run_early_and_still_reports(shop: Tiny) -> None:
    command = [*BENCH, "--url", shop.url, "--rate", "100", "--duration", "60", "--warmup", "0", "--history", "0"]
    with subprocess.Popen([*command, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 30
        while len(shop.asked) < 80 and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    told = json.loads(out)
    assert told["ended_early"] is True
    assert told["all"]["ok"] >= 10
    assert told["seconds"] < 30
    assert "ended early" in err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--rate", "0"], 2, "rate"),
        (["--mix", "fresh=0.5"], 2, "these make 0.5"),
        (["--mix", "fresh=lots"], 2, "--mix fresh: got 'lots', expected a share"),
        (["--mix", "fresh"], 2, "NAME=VALUE"),
        (["--url", "http://127.0.0.1:1"], 2, "url: got 'http://127.0.0.1:1'"),
        (["--plot", "load.pdf"], 2, "a file named .html or .png"),
        (["--items", "nowhere.txt"], 2, "one id a line"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_sent(
    shop: Tiny, call: Callable[..., int], capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    assert call("--url", shop.url, *arguments) == code
    assert said in capsys.readouterr().err
    assert shop.asked == []


def test_the_help_says_that_it_writes_into_the_log() -> None:
    verb = typer.main.get_command(app).commands["bench"]  # type: ignore[attr-defined]
    said = {option.name: " ".join((option.help or "").split()) for option in verb.params}
    assert "Writes into the target's log" in " ".join(verb.help.split())
    assert "WRITES into its log" in said["url"]
    assert "for it changes the server's data" in said["mix"]

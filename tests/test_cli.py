"""The command as people call it, each time in a process of its own."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from duplexgen.cli import STOPPED


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "duplexgen", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["build"],
        ["plan"],
        ["dpo-pairs"],
        ["verify"],
        ["inspect"],
        ["export"],
        ["view"],
        ["doctor"],
        ["voices", "prepare"],
        ["timing", "fit"],
    ],
)
def test_help_teaches_and_loads_nothing_heavy(command: list[str], tmp_path: Path) -> None:
    probe = (
        "import sys\nfrom duplexgen import cli\ntry: cli.main()\nfinally: print(*sorted(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, *command, "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert len(done.stdout.splitlines()) > 8
    heavy = {"ray", "numpy", "pyarrow", "datasets", "librosa", "onnxruntime", "scipy", "tokenizers"}
    assert heavy.isdisjoint(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["build", "nothing.yaml"], "nothing.yaml: there is no such file"),
        (["plan", "nothing"], "nothing: no such recipe. Expected a YAML file, or the name of one that ships: flm_asr"),
        (["plan", "turntaking"], "turntaking: no such recipe. Did you mean turn_taking"),
        (["verify", "nowhere"], "is no finished data set"),
        (["inspect", "nowhere"], "is no finished data set"),
        (["view", "nowhere"], "is no finished data set"),
        (["dpo-pairs", "nowhere"], "is no finished data set"),
        (
            ["dpo-pairs", ".", "nothing"],
            "nothing: no such recipe. Expected a YAML file, or the name of one that ships: natural, timing",
        ),
        (["build", "turn_taking", "--limit", "0"], "--limit"),
        (["timing", "fit", "nowhere", "--out", "profile.yaml"], "nowhere: there is no such file or folder"),
        (["timing", "fit", "."], "--out"),
    ],
)
def test_mistakes_of_the_user_give_a_message(arguments: list[str], says: str, tmp_path: Path) -> None:
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_data_set_is_where_builds_write(tmp_path: Path) -> None:
    manifest = tmp_path / "out" / "mine" / "manifest.json"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("{}")
    done = run("inspect", "mine", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.rstrip().endswith(f"Did you mean {manifest.parent}?")


def test_recipe_with_mistakes_touches_nothing(recipe_file: Callable[..., Path], tmp_path: Path) -> None:
    bad = recipe_file(seed=-1, partition_size=0)
    done = run("build", str(bad), cwd=tmp_path)
    assert done.returncode == 2
    assert "seed" in done.stderr
    assert "partition_size" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [bad.name]


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("duplexgen dpo", {"dpo-pairs"}),
        ("duplexgen build turn_taking", {"turn_taking", "turn_taking_zh"}),
        ("duplexgen train dpo dpo", {"dpo_small", "dpo_natural"}),
        ("duplexgen build ./mine", set()),
    ],
)
def test_a_shell_completes_commands_and_recipes(words: str, completed: set[str], tmp_path: Path) -> None:
    asks = {"_DUPLEXGEN_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    command = [Path(sys.executable).with_name("duplexgen")]
    done = subprocess.run(command, cwd=tmp_path, env=os.environ | asks, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == completed


def test_plan_says_what_a_build_would_do(tmp_path: Path) -> None:
    start = time.monotonic()
    done = run("plan", "turn_taking", "--limit", "9", cwd=tmp_path)
    assert time.monotonic() - start < 60
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert lines["dialogues"].split()[1] == "9"
    assert lines["partitions"].split()[1] == "5"
    assert "0 of 5 partitions" in lines["speech"]
    assert not (tmp_path / "out" / "turn_taking").exists()


BUSY = """
import signal, sys, time
from duplexgen import cli

def busy():
    try:
        print("busy", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        if "compiler" in sys.argv:
            raise RuntimeError("what was compiled is not there")
        raise

if "nohup" in sys.argv:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
cli.app = busy
cli.main()
"""


@pytest.mark.usefixtures("signals")
@pytest.mark.parametrize("library", ["none", "compiler"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_any_command(number: signal.Signals, library: str) -> None:
    """Also one that is in a library that makes another exception of it, as numba does while it compiles."""
    process = subprocess.Popen([sys.executable, "-c", BUSY, library], stdout=-1, stderr=-1, text=True)
    assert process.stdout
    process.stdout.readline()
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert said == f"{STOPPED}\n"


ON_A_TERMINAL = """
import time
from duplexgen import cli
from duplexgen.pipeline.show.progress import Display

def busy():
    with Display().waiting("busy"):
        time.sleep(60)

cli.app = busy
cli.main()
"""


@pytest.mark.usefixtures("signals")
def test_a_terminal_that_is_gone_stops_a_command_that_writes_to_it() -> None:
    pid, terminal = pty.fork()
    if not pid:
        os.execv(sys.executable, [sys.executable, "-c", ON_A_TERMINAL])
    while b"busy" not in os.read(terminal, 1000):
        pass
    os.close(terminal)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 128 + signal.SIGHUP


def test_under_nohup_a_hangup_stops_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", BUSY, "nohup"], stdout=-1, stderr=-1, text=True)
    assert process.stdout
    process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143

"""What is installed is used, whatever lies in the folder that a person works in: from the wheel and from a checkout."""

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.replay import ROOT

Run = Callable[..., str]

DECOYS = [
    "pipeline/__init__.py",
    "training/__init__.py",
    "cli.py",
    "api.py",
    "recipes/__init__.py",
    "data_cards/__init__.py",
    "tokenizers.py",  # a package that workers import late
    "soundfile/__init__.py",
    "tarfile.py",  # one of Python's own
    "pathlib.py",  # what a command imports first
    "multiprocessing/__init__.py",  # what a process that is started imports first
    "pickle.py",
]
TRAINING = """
name: tiny
model:
  config: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 2}
data: [out/turn_taking]
optimization: {learning_rate: 0.01, batch_size: 2, micro_batch_size: 2, steps: 2, precision: fp32}
"""
COMMAND = [sys.executable, "-m", "duplexgen"]
SCRIPTS = Path(sys.executable).parent
SCRIPT = [str(SCRIPTS / "duplexgen")]
LAUNCHED = [str(SCRIPTS / "accelerate"), "launch", "--cpu", "--num_processes", "1", "-m", "duplexgen"]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (file,) = folder.glob("*.whl")
    return file


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where builds of these tests keep their speech: it is made once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture(params=["wheel", "checkout"])
def run(request: pytest.FixtureRequest, tmp_path: Path, wheel: Path) -> Run:
    """Runs a command in a folder of decoys, with what is in the wheel or in this checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if request.param == "wheel":
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(tmp_path / "site")
        environment["PYTHONPATH"] = str(tmp_path / "site")
    folder = tmp_path / "desk"
    for decoy in DECOYS:
        (folder / decoy).parent.mkdir(parents=True, exist_ok=True)
        (folder / decoy).write_text("raise ImportError('a file of the user was imported')\n")
    (folder / "duplexgen").mkdir()  # as after `git clone`
    (folder / "tiny.yaml").write_text(TRAINING)

    def run(*command: str, **more: str) -> str:
        given = environment | {"COLUMNS": "200"} | more
        done = subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture
def cluster() -> Iterator[str]:
    """A cluster that somebody else has started, elsewhere."""
    from ray.cluster_utils import Cluster

    running = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    yield running.address
    running.shutdown()


def test_the_wheel_brings_one_name_and_all_that_ships(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(next(name for name in names if name.endswith("METADATA"))).decode()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"duplexgen"}
    folders = [ROOT / name for name in ("pipeline", "training", "recipes", "data_cards")]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file() and file.suffix != ".pyc"]
    assert {f"duplexgen/{file.relative_to(ROOT)}" for file in [*files, ROOT / "cli.py", ROOT / "api.py"]} <= names
    assert "duplexgen/py.typed" in names
    assert "Project-URL" in metadata
    assert "Classifier: Typing :: Typed" in metadata


def test_every_module_is_imported_by_its_one_name(run: Run) -> None:
    code = "import sys; sys.path.remove(''); import duplexgen.cli, json; print(duplexgen.__version__, *sys.modules)"
    version, *modules = run(sys.executable, "-c", code).split()
    assert version[0].isdigit()
    assert {"pipeline", "training", "cli", "api", "recipes"}.isdisjoint(modules)


def test_files_of_the_working_folder_are_not_imported(run: Run, work: Path) -> None:
    built = [*COMMAND, "build", "turn_taking", "--limit", "2", "--work", str(work)]
    run(*built)
    run(*SCRIPT, "verify", "out/turn_taking")
    run(*COMMAND, "dpo-pairs", "out/turn_taking")
    run(*LAUNCHED, "train", "sft", "tiny.yaml", "--out", "model")


def test_files_of_the_working_folder_are_not_imported_on_a_cluster(run: Run, work: Path, cluster: str) -> None:
    run(*COMMAND, "build", "interruption", "--limit", "2", "--work", str(work), RAY_ADDRESS=cluster)
    run(*SCRIPT, "verify", "out/interruption")

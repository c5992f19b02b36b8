"""Training over parallel streams, whole: from shards to a model that can be loaded, trained further and aligned."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from duplexgen.pipeline.dataset.dialogues import DIALOGUES
from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.pairs.build import build, prepare
from duplexgen.pipeline.pairs.recipe import PairsRecipe
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.tokens.text.bpe import BytePairTokenizer
from duplexgen.training.data import TrainingData
from duplexgen.training.models.model import load_model
from duplexgen.training.models.start import start
from duplexgen.training.models.streams import StreamsForCausalLM
from duplexgen.training.objectives.dpo import train_dpo
from duplexgen.training.objectives.sft import train_sft
from duplexgen.training.recipe import DPORecipe, Model, SFTRecipe
from duplexgen.training.sequences import SequenceFormat
from tests.corpus import run_stages
from tests.training.conftest import TINY
from tests.training.objectives.test_sft import StopAt, launch, log

SMALL: dict[str, Any] = {"config": TINY, "depth": {"hidden_size": 32, "num_layers": 1, "num_heads": 2}}
LAYOUTS: dict[str, dict[str, Any]] = {"flm": {"name": "flm"}, "moshi": {"name": "moshi"}}


@pytest.fixture(scope="module")
def folder(data_sets: Callable[..., Dataset]) -> Path:
    return data_sets("turn_taking", name="flm", layout=LAYOUTS["flm"]).path


EVEN = {"text": 1, "wait": 1, "pad": 1, "epad": 1, "semantic": 1, "acoustic": 1}


def recipe_of(
    *folders: Path, model: Any = SMALL, normalize: str = "by_kind", weights: Any = None, **optimization: Any
) -> SFTRecipe:
    settings = {"learning_rate": 0.01, "batch_size": 4, "micro_batch_size": 2, "steps": 4, "precision": "fp32"}
    keys = {"name": "test", "seed": 5, "model": model, "normalize": normalize, "data": [str(path) for path in folders]}
    keys |= {} if weights is None else {"weights": weights}
    return SFTRecipe.model_validate(keys | {"optimization": settings | optimization})


@pytest.fixture(scope="module")
def alone(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was not interrupted."""
    out = tmp_path_factory.mktemp("alone") / "run"
    train_sft(recipe_of(folder, checkpoint_every=2), out, Display())
    return out


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_batch_is_learned_by_heart(layout: str, data_sets: Callable[..., Dataset], tmp_path: Path) -> None:
    """Also with Moshi's depth transformer, which reads the text."""
    depth = SMALL["depth"] | ({"reads_text": True, "weights": "all"} if layout == "moshi" else {})
    data = data_sets("turn_taking", name=layout, layout=LAYOUTS[layout]).path
    recipe = recipe_of(data, model=SMALL | {"depth": depth}, weights=EVEN, steps=60)
    train_sft(recipe, tmp_path / "run", Display())
    first, last = log(tmp_path / "run")[0], log(tmp_path / "run")[-1]
    kinds = {"text", "semantic", *(("wait",) if layout == "flm" else ("pad", "epad"))}
    for kind in kinds:
        assert last[kind] < 0.5 * first[kind], kind
    network = load_model(tmp_path / "run").network
    assert isinstance(network, StreamsForCausalLM)
    assert (network.depth.shape.text_size is None) == (layout == "flm")


def test_a_run_goes_on_as_if_never_stopped(folder: Path, alone: Path, tmp_path: Path) -> None:
    recipe, out = recipe_of(folder, checkpoint_every=2), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_sft(recipe, out, StopAt(3))
    train_sft(recipe, out, Display())
    assert log(out) == log(alone)
    assert (out / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()


def test_packs_learn_what_their_rows_learn(folder: Path, alone: Path, tmp_path: Path) -> None:
    """All rows are in each batch, packed in one sequence or two."""
    train_sft(recipe_of(folder, batch_size=2, pack_columns=1500), tmp_path / "run", Display())
    for ours, theirs in zip(log(tmp_path / "run"), log(alone), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-3)


def test_two_processes_take_the_same_steps(folder: Path, tmp_path: Path) -> None:
    """Four rows in batches of three: of the second batch, one device has nothing."""
    recipe = recipe_of(folder, batch_size=3, micro_batch_size=1)
    train_sft(recipe, tmp_path / "one", Display())
    assert "device 1 of 2" in launch(recipe, tmp_path, 2)
    for ours, theirs in zip(log(tmp_path / "run"), log(tmp_path / "one"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    one, two = (load_model(tmp_path / name).network.state_dict() for name in ("one", "run"))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)


def test_a_trained_model_is_trained_further(folder: Path, alone: Path, tmp_path: Path) -> None:
    """As from one stage of FLM-Audio to the next: its weights are taken as they are, its depth transformer too."""
    network = start(Model(pretrained=str(alone)), folder, SequenceFormat.read(folder), seed=0)
    before = load_model(alone).network.state_dict()
    assert all(torch.equal(weight, before[name]) for name, weight in network.state_dict().items())
    train_sft(recipe_of(folder, model={"pretrained": str(alone)}, steps=1), tmp_path / "run", Display())
    with pytest.raises(UserError, match=r"has another depth transformer than model\.depth says"):
        start(Model(pretrained=str(alone), depth={"num_layers": 2}), folder, SequenceFormat.read(folder), seed=0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "differ"),
    [
        ({"speech_tokenizer": {"sha256": "0" * 64}}, "speech_tokenizer"),
        ({"layout": {"acoustic_delay": 2}}, "layout"),
        ({"layout": {"text_lead": 3}}, "layout"),
    ],
)
def test_rows_of_another_codec_or_layout_are_refused(
    folder: Path, alone: Path, changes: dict[str, dict[str, Any]], differ: str
) -> None:
    sequence_format = SequenceFormat.read(folder)
    parts = {name: getattr(sequence_format.described, name).model_copy(update=to) for name, to in changes.items()}
    other = SequenceFormat(sequence_format.described.model_copy(update=parts))
    start(Model(pretrained=str(alone)), folder, sequence_format, seed=0)
    with pytest.raises(UserError, match=rf"was trained on other rows than the data set has: {differ} of"):
        start(Model(pretrained=str(alone)), folder, other, seed=0)


@pytest.mark.parametrize("spare", [0, 1, 50])
def test_a_plain_language_model_gets_streams(folder: Path, tmp_path: Path, spare: int) -> None:
    """Its special tokens start from the mean of its text, also in rows that the model has to spare, as Qwen2.5 has."""
    sequence_format = SequenceFormat.read(folder)
    text_size = sequence_format.vocabulary.text_size
    from_config: Any = AutoModelForCausalLM.from_config
    plain = from_config(AutoConfig.for_model(**TINY, vocab_size=text_size + spare))
    plain.save_pretrained(tmp_path)
    bpe = Tokenizer.from_str(BytePairTokenizer().to_json())
    PreTrainedTokenizerFast(tokenizer_object=bpe).save_pretrained(tmp_path)
    network = start(Model(pretrained=str(tmp_path)), folder, sequence_format, seed=0)
    assert isinstance(network, StreamsForCausalLM)
    weight = network.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    assert weight.shape[0] == max(sequence_format.size, text_size + spare)
    assert torch.equal(weight[:text_size], plain.get_input_embeddings().weight[:text_size])
    new = weight.detach()[text_size : sequence_format.size]
    assert len(new) == 4, "wait, asr, answer and the end of text"
    torch.testing.assert_close(new, plain.get_input_embeddings().weight.detach()[:text_size].mean(dim=0).expand(4, -1))


def test_pairs_of_streams_are_aligned(folder: Path, alone: Path, tmp_path: Path) -> None:
    recipe = PairsRecipe(name="timing", seed=2)
    pairs: Any = prepare(recipe, folder, tmp_path / "work")
    run_stages(pairs)
    build(recipe, folder, tmp_path / "pairs", tmp_path / "work", Display())
    settings = {"learning_rate": 1e-3, "batch_size": 4, "micro_batch_size": 2, "steps": 4, "precision": "fp32"}
    keys: dict[str, Any] = {"name": "dpo", "model": str(alone), "data": [str(tmp_path / "pairs")]}
    train_dpo(DPORecipe.model_validate(keys | {"optimization": settings}), tmp_path / "run", Display())
    figures = log(tmp_path / "run")
    assert figures[0]["margin"] == pytest.approx(0, abs=1e-2), "the policy starts as the reference"
    assert figures[-1]["margin"] > 0.1


def test_a_column_counts_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In what is said of a sequence that is too long, and in the speed of training: its streams are read together."""
    data = TrainingData([folder], DIALOGUES)
    short = SMALL | {"config": TINY | {"max_position_embeddings": 100}}
    with pytest.raises(UserError, match=rf"has {data.longest} positions, but the model takes 100 "):
        train_sft(recipe_of(folder, model=short), tmp_path / "short", Display())
    seconds = iter(range(100))
    monkeypatch.setattr("duplexgen.training.loop.monotonic", lambda: next(seconds))
    told: list[str] = []

    class Told(Display):
        @contextmanager
        def training(self, steps: int, start: int) -> Iterator[Any]:
            yield lambda done, figures: told.append(figures)

    train_sft(recipe_of(folder, steps=1), tmp_path / "run", Told())
    columns = sum(int(group.lengths.sum()) for group in data.groups[0])
    assert told[0].endswith(f"  {columns:,} positions/s")


def test_weights_that_are_missing_leave_no_folder(data_sets: Callable[..., Dataset], tmp_path: Path) -> None:
    """With the weights that it asks for, the same command then works."""
    data = data_sets("turn_taking", name="moshi", layout=LAYOUTS["moshi"]).path
    with pytest.raises(UserError, match=r"has no weights of acoustic, epad, pad, semantic: .* the layout moshi\."):
        train_sft(recipe_of(data), tmp_path / "run", Display())
    assert not (tmp_path / "run").exists()


def test_settings_of_streams_are_refused_for_one_stream(data_sets: Callable[..., Dataset], tmp_path: Path) -> None:
    data = data_sets("turn_taking").path
    with pytest.raises(UserError, match=r"model\.depth is for layouts of parallel streams, .* layout bayling"):
        train_sft(recipe_of(data), tmp_path / "depth", Display())
    with pytest.raises(UserError, match="pack_columns is for layouts of parallel streams"):
        train_sft(recipe_of(data, model={"config": TINY}, pack_columns=9000), tmp_path / "packs", Display())


def test_a_row_that_is_longer_than_a_pack_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the longest row has \d+ columns, and optimization\.pack_columns is 20"):
        train_sft(recipe_of(folder, pack_columns=20), tmp_path / "run", Display())

"""Supervised fine-tuning, whole: from shards to a model that can be loaded."""

import json
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from duplexgen.pipeline.dataset.reader import Dataset
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.show.progress import Display
from duplexgen.pipeline.tokens.text.bpe import BytePairTokenizer
from duplexgen.training.checkpoints import RECORD
from duplexgen.training.models.model import load_model
from duplexgen.training.models.start import start_from_pretrained
from duplexgen.training.objectives.losses import token_losses
from duplexgen.training.objectives.sft import train_sft
from duplexgen.training.recipe import SFTRecipe
from duplexgen.training.sequences import SequenceFormat
from tests.training import launched
from tests.training.conftest import TINY


class StopAt(Display):
    """Stops a run after some steps, as Ctrl-C would; 0: never. `start`: the step at which the run started."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.step = step

    @contextmanager
    def training(self, steps, start):
        self.start = start

        def report(done, figures):
            if done == self.step:
                raise KeyboardInterrupt

        yield report


def sft_recipe(*folders, model=None, **optimization):
    settings = {"learning_rate": 0.01, "batch_size": 4, "micro_batch_size": 2, "steps": 6, "precision": "fp32"}
    return SFTRecipe.model_validate(
        {
            "name": "test",
            "seed": 5,
            "model": model or {"config": TINY},
            "data": [str(folder) for folder in folders],
            "optimization": settings | optimization,
        }
    )


def launch(recipe, folder, processes, *stop):
    """Train in `folder`/run in other processes. stop: the step after which they end."""
    return launched.launch([launched.Job.of(recipe, folder / "run", *stop)], processes)


def log(out):
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def folders(data_sets):
    return [data_sets("turn_taking").path, data_sets("interruption").path]


@pytest.fixture(scope="module")
def alone(folders, tmp_path_factory):
    """A run that was not interrupted."""
    out = tmp_path_factory.mktemp("alone") / "run"
    train_sft(sft_recipe(*folders, checkpoint_every=3), out, Display())
    return out


def test_one_batch_is_learned_by_heart(folders, tmp_path):
    train_sft(sft_recipe(folders[0], steps=120, checkpoint_every=1000), tmp_path / "run", Display())
    first, last = log(tmp_path / "run")[0], log(tmp_path / "run")[-1]
    assert first["loss"] > 8
    assert last["loss"] < 0.3
    for kind in ("silence", "assistant", "epad", "pad", "text", "audio"):
        assert last[kind] < 0.2 * first[kind], kind
    assert loss_of(tmp_path / "run", folders[0]) < 0.3, "the model that was written is the one that has learned"


def test_a_trained_model_is_offered_for_talking(folders, tmp_path, capsys):
    """Models that `talk` does not take are not: see tests/test_seams.py for another layout."""
    train_sft(sft_recipe(*folders, steps=1), tmp_path / "run", Display())
    assert f"Talk to it: duplexgen talk {tmp_path / 'run'}" in capsys.readouterr().err


def test_the_loss_does_not_depend_on_micro_batches(folders, alone, tmp_path):
    train_sft(sft_recipe(*folders, micro_batch_size=3), tmp_path / "run", Display())
    for ours, theirs in zip(log(tmp_path / "run"), log(alone), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_half_precision_and_recomputed_activations_learn_the_same(folders, alone, tmp_path):
    launch(sft_recipe(*folders, precision="bf16", gradient_checkpointing=True), tmp_path, processes=1)
    for ours, theirs in zip(log(tmp_path / "run"), log(alone), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.02)
    assert all(ours["loss"] != theirs["loss"] for ours, theirs in zip(log(tmp_path / "run"), log(alone), strict=True))


@pytest.mark.parametrize("stopped_after", [2, 5])
def test_a_run_goes_on_as_if_never_stopped(folders, alone, tmp_path, stopped_after):
    recipe, out = sft_recipe(*folders, checkpoint_every=3), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_sft(recipe, out, StopAt(stopped_after))
    assert not (out / "training.json").exists()
    with pytest.raises(UserError, match="is not a finished model"):
        load_model(out)
    train_sft(recipe, out, Display())
    assert log(out) == log(alone)
    assert (out / "model.safetensors").read_bytes() == (alone / "model.safetensors").read_bytes()


def test_in_half_precision_a_run_goes_on_as_if_never_stopped(folders, tmp_path):
    """On a GPU this depends on the kernels, and the width of the model decides which ones torch takes."""
    wide = TINY | {"hidden_size": 192, "num_attention_heads": 3}
    recipe = sft_recipe(*folders, model={"config": wide}, precision="bf16", checkpoint_every=3)
    for name, stops in (("whole", [()]), ("stopped", [(5,), ()])):
        (tmp_path / name).mkdir()
        for stop in stops:
            launch(recipe, tmp_path / name, 1, *stop)
    whole, stopped = tmp_path / "whole" / "run", tmp_path / "stopped" / "run"
    assert (stopped / "checkpoints" / "step-00000003").exists()
    assert log(stopped) == log(whole)
    assert (stopped / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("repeatable", [True, False])
def test_kernels_are_those_that_repeat_unless_that_is_declined(folders, tmp_path, repeatable):
    torch.backends.cuda.enable_cudnn_sdp(True)
    torch.use_deterministic_algorithms(not repeatable)
    train_sft(sft_recipe(*folders, steps=1, repeatable=repeatable), tmp_path / "run", Display())
    assert torch.are_deterministic_algorithms_enabled() == repeatable
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_a_model_without_repeatable_kernels_is_told_what_to_do(folders, alone, tmp_path, monkeypatch):
    """`put_` is one of the few operations without a repeatable kernel on the processor."""

    def losses(network, ids, targets):
        torch.zeros(2).put_(torch.tensor([0]), torch.ones(1))
        return token_losses(network, ids, targets)

    monkeypatch.setattr("duplexgen.training.objectives.sft.token_losses", losses)
    with pytest.raises(UserError, match=r"put_ does not have .*optimization.repeatable: false"):
        train_sft(sft_recipe(*folders), tmp_path / "run", Display())
    train_sft(sft_recipe(*folders, repeatable=False), tmp_path / "run", Display())
    for ours, theirs in zip(log(tmp_path / "run"), log(alone), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


NO_MEMORY = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"  # on a processor


@pytest.mark.parametrize(
    ("where", "says"), [("accelerate.Accelerator.prepare", "for the model"), ("torch.optim.AdamW.step", "at step 0")]
)
def test_too_little_memory_is_told(folders, tmp_path, monkeypatch, where, says):
    """While the model is moved to the device, and while the first step allocates the optimizer's state."""

    for error in (torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(NO_MEMORY), MemoryError()):

        def full(*_, error=error, **__):
            raise error

        monkeypatch.setattr(where, full)
        with pytest.raises(UserError, match=f"the device has no memory left .*{says}"):
            train_sft(sft_recipe(*folders), tmp_path / "run", Display())


def test_a_run_goes_on_with_less_memory(folders, alone, tmp_path):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_sft(sft_recipe(*folders, checkpoint_every=3), out, StopAt(5))
    display = StopAt(0)
    less = sft_recipe(*folders, checkpoint_every=100, micro_batch_size=1, gradient_checkpointing=True)
    train_sft(less.model_copy(update={"description": "less"}), out, display)
    assert display.start == 3
    assert len(log(out)) == 6
    for ours, theirs in zip(log(out), log(alone), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    finished = (out / "training.json").read_bytes()
    train_sft(sft_recipe(*folders), out, Display())
    assert (out / "training.json").read_bytes() == finished, "a finished run is known with other values, too"
    with pytest.raises(UserError, match="another recipe"):
        train_sft(sft_recipe(*folders, batch_size=2), out, Display())


@pytest.mark.parametrize("checkpoint_every", [3, 100])
def test_a_full_disk_is_told_and_nothing_half_written_stays(folders, alone, tmp_path, monkeypatch, checkpoint_every):
    def write_a_little(_, path, *__, **___):
        Path(path).write_bytes(b"half")
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    recipe, out = sft_recipe(*folders, checkpoint_every=checkpoint_every), tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("safetensors.torch.serialize_file", write_a_little)
        with pytest.raises(UserError, match=r"disk is full.* make room and run the same command again"):
            train_sft(recipe, out, Display())
    assert not [path for path in out.rglob(".*") if path.name.endswith(".tmp")]
    assert not list(out.glob("checkpoints/*")) and not (out / "model.safetensors").exists()
    train_sft(recipe, out, Display())
    assert log(out) == log(alone)


def test_what_was_saved_is_on_disk_before_it_counts(folders, tmp_path, monkeypatch):
    """Each file of a checkpoint before its folder takes its name, each of the model before training.json."""
    calls = []
    rename, replace = Path.rename, Path.replace
    monkeypatch.setattr("duplexgen.pipeline.storage.atomic.sync", lambda path: calls.append(path.name))
    monkeypatch.setattr(Path, "rename", lambda path, to: (calls.append(to.name), rename(path, to)))
    monkeypatch.setattr(Path, "replace", lambda path, to: (calls.append(to.name), replace(path, to)))
    train_sft(sft_recipe(*folders, steps=2, checkpoint_every=1), tmp_path / "run", Display())
    before = calls[: calls.index("step-00000001")]
    assert {"part-00000-of-00001.safetensors", "random-00000.safetensors", RECORD} <= set(before)
    after = calls[calls.index("step-00000001") :]
    last = after[: after.index("training.json")]
    assert last.count("model.safetensors") == 2, "once on disk, once in place"
    assert {"config.json", "vocabulary.json", "tokenizer.json", ".model.tmp"} <= set(last)


def loss_of(model_folder, data_set):
    """Plain mean loss of a written model over the text and assistant positions of a data set."""
    model = load_model(model_folder)
    total = count = 0.0
    for row in Dataset(data_set).rows(["input_ids"]):
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            scores = model.network(ids).logits.log_softmax(-1)[0, :-1]
        counted = torch.arange(1, ids.shape[1]) % 25 >= 10
        total -= scores.gather(1, ids[0, 1:, None])[:, 0][counted].sum().item()
        count += counted.sum().item()
    return total / count


def test_the_model_that_comes_out_names_what_it_was_trained_on(folders, alone):
    model = load_model(alone)
    assert model.about["recipe"]["name"] == "test"
    assert [item["name"] for item in model.about["data"]] == ["turn_taking", "interruption"]
    assert model.network.get_input_embeddings().weight.shape[0] == model.format.size


def test_a_finished_run_is_left_alone(folders, alone):
    before = {path: path.stat().st_mtime_ns for path in alone.rglob("*") if path.name != "run.json"}
    train_sft(sft_recipe(*folders, checkpoint_every=3), alone, Display())
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_another_recipe_or_a_strange_folder_is_refused(folders, alone, tmp_path):
    with pytest.raises(UserError, match="another recipe"):
        train_sft(sft_recipe(*folders, checkpoint_every=3, learning_rate=0.02), alone, Display())
    with pytest.raises(UserError, match="a run over other data"):
        train_sft(sft_recipe(folders[0], checkpoint_every=3), alone, Display())
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not a training run"):
        train_sft(sft_recipe(*folders), tmp_path, Display())
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_truncated_checkpoint_is_named(folders, tmp_path):
    recipe, out = sft_recipe(*folders, checkpoint_every=2), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train_sft(recipe, out, StopAt(5))
    newest = sorted((out / "checkpoints").iterdir())[-1]
    weights = newest / "part-00000-of-00001.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    says = r"00001\.safetensors is missing or is not what was written: .*, or from the start if there is none"
    with pytest.raises(UserError, match=says):
        train_sft(recipe, out, Display())
    assert (newest / RECORD).exists(), "nothing was overwritten"


def test_an_infinite_loss_stops_at_once(folders, tmp_path):
    with pytest.raises(UserError, match=r"step \d: the loss is .*talk/"):
        train_sft(sft_recipe(*folders, learning_rate=1e30, warmup_share=0), tmp_path / "run", Display())
    assert not (tmp_path / "run" / "training.json").exists()


def test_models_that_do_not_fit(folders, tmp_path):
    with pytest.raises(UserError, match="max_position_embeddings"):
        short = {"config": TINY | {"max_position_embeddings": 100}}
        train_sft(sft_recipe(*folders, model=short), tmp_path / "short", Display())
    with pytest.raises(UserError, match="no causal language model"):
        train_sft(sft_recipe(*folders, model={"config": {"model_type": "nonesuch"}}), tmp_path / "none", Display())
    with pytest.raises(UserError, match="cannot be loaded"):
        train_sft(sft_recipe(*folders, model={"pretrained": str(tmp_path / "nowhere")}), tmp_path / "no", Display())


def test_a_pretrained_model_is_extended_by_the_new_tokens(folders, tmp_path):
    sequence_format = SequenceFormat.read(folders[0])
    text_size = sequence_format.vocabulary.text_size
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**TINY, vocab_size=text_size))
    network.save_pretrained(tmp_path)
    bpe = BytePairTokenizer()
    PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(bpe.to_json())).save_pretrained(tmp_path)
    extended = start_from_pretrained(str(tmp_path), folders[0], sequence_format, seed=0)
    weight = extended.get_input_embeddings().weight
    assert weight.shape[0] == sequence_format.size
    assert torch.equal(weight[:text_size], network.get_input_embeddings().weight)
    assert extended.config.pad_token_id == extended.generation_config.eos_token_id == sequence_format.size - 1


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("spare", [0, 1, 3, 40, 5000], ids=lambda rows: f"{rows} spare rows")
def test_new_tokens_get_the_mean_of_the_old_ones_in_rows_that_are_there_too(folders, tmp_path, tied, spare):
    """A model may have more rows than its tokenizer has tokens. No training has shaped these rows."""
    sequence_format = SequenceFormat.read(folders[0])
    text_size, size = sequence_format.vocabulary.text_size, sequence_format.size
    own = Tokenizer.from_str(BytePairTokenizer().to_json())
    own.add_special_tokens(["[EPAD]"] if spare > 0 else [])  # a token that the model has, though not with the data's id
    tokens = text_size + (spare > 0)
    rows = text_size + spare
    network = AutoModelForCausalLM.from_config(AutoConfig.for_model(**TINY, vocab_size=rows, tie_word_embeddings=tied))
    for table in (network.get_input_embeddings(), network.get_output_embeddings()):
        torch.nn.init.normal_(table.weight, mean=3.0)
        table.weight.data[tokens:] = 1000.0
    network.save_pretrained(tmp_path)
    PreTrainedTokenizerFast(tokenizer_object=own).save_pretrained(tmp_path)
    extended = start_from_pretrained(str(tmp_path), folders[0], sequence_format, seed=0)
    for name in ("get_input_embeddings", "get_output_embeddings"):
        old, weight = (getattr(model, name)().weight.detach() for model in (network, extended))
        assert len(weight) == max(rows, size)
        assert torch.equal(weight[:text_size], old[:text_size])
        torch.testing.assert_close(weight[text_size:size], old[:text_size].mean(dim=0).expand(size - text_size, -1))


def test_a_model_that_has_the_tokens_keeps_their_rows(folders, tmp_path):
    """One that we trained is such a model: its folder has the vocabulary."""
    train_sft(sft_recipe(folders[0], steps=1), tmp_path / "run", Display())
    trained = load_model(tmp_path / "run").network
    again = start_from_pretrained(str(tmp_path / "run"), folders[0], SequenceFormat.read(folders[0]), seed=0)
    for name, weight in trained.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_a_model_of_another_text_tokenizer_is_refused(folders, tmp_path):
    sequence_format = SequenceFormat.read(folders[0])
    config = AutoConfig.for_model(**TINY, vocab_size=sequence_format.vocabulary.text_size)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    with pytest.raises(UserError, match="tokenizer cannot be loaded"):
        start_from_pretrained(str(tmp_path), folders[0], sequence_format, seed=0)
    words = {word: number for number, word in enumerate(["hello", "there", "[UNK]"])}
    other = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    PreTrainedTokenizerFast(tokenizer_object=other).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"id 0 is .* in the data set and 'hello' in the model"):
        start_from_pretrained(str(tmp_path), folders[0], sequence_format, seed=0)


def test_two_processes_take_the_same_steps(folders, tmp_path):
    """Eight rows in batches of five: of the second batch, one device has nothing in its last micro-batch."""
    recipe = sft_recipe(*folders, batch_size=5, micro_batch_size=1, steps=4)
    train_sft(recipe, tmp_path / "one", Display())
    assert "device 1 of 2" in launch(recipe, tmp_path, processes=2)
    for ours, theirs in zip(log(tmp_path / "run"), log(tmp_path / "one"), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    one, two = (load_model(tmp_path / name).network.state_dict() for name in ("one", "run"))
    assert all(torch.allclose(one[name], two[name], atol=1e-4) for name in one)

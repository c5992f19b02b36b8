"""The command `duplexgen`."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import typer

from . import api
from .pipeline import __version__
from .pipeline.commands.signals import stops
from .pipeline.errors import UserError
from .pipeline.show.terminal import Console, say, say_line
from .pipeline.storage.objects import Place
from .pipeline.storage.paths import path, problem

STOPPED = "duplexgen: stopped. Committed work is safe; the same command continues from there."
MOST_ROWS = 10**12
LARGEST_SEED = 2**63 - 1

app = typer.Typer(
    name="duplexgen",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    rich_markup_mode="markdown",
    help="""
Make training data for full-duplex speech models from written dialogues.

A **recipe** says everything that changes a data set; these commands only say where to write and how much to run.

Start here; a laptop is enough:

    duplexgen build turn_taking
    duplexgen view out/turn_taking

Then reuse the speech and add interruptions:

    duplexgen build interruption

You can stop a build at any time: the same command continues it. On a cluster, set RAY_ADDRESS or use
`ray job submit` with the same command.
""",
)

train_app = typer.Typer(no_args_is_help=True, help="Train a model that listens and speaks.")
app.add_typer(train_app, name="train")
voices_app = typer.Typer(no_args_is_help=True, help="Make a bank of voices to speak with.")
app.add_typer(voices_app, name="voices")
models_app = typer.Typer(no_args_is_help=True, help="Convert a published model for `train`, and a trained one back.")
app.add_typer(models_app, name="models")

timing_app = typer.Typer(no_args_is_help=True, help="Measure how people take turns.")
app.add_typer(timing_app, name="timing")


def _recipes(incomplete: str) -> list[str]:
    from .pipeline.recipe.file import shipped

    return [name for name in shipped() if name.startswith(incomplete)]


def _training_recipes(incomplete: str) -> list[str]:
    from .pipeline.recipe.file import shipped
    from .training.recipe import TRAINING_RECIPES

    return [name for name in shipped(TRAINING_RECIPES) if name.startswith(incomplete)]


Recipe = Annotated[
    str,
    typer.Argument(
        help="Read this recipe: a file, or the name of one that ships.", show_default=False, autocompletion=_recipes
    ),
]
Folder = Annotated[Path, typer.Argument(parser=path, help="Read this data set, made by `build`.", show_default=False)]
FolderOrStore = Annotated[
    str,
    typer.Argument(
        help="Read this data set, made by `build`: a folder, or s3://bucket/path in an object store.",
        show_default=False,
    ),
]
Model = Annotated[Path, typer.Argument(parser=path, help="Use this model, made by `train`.", show_default=False)]
Temperature = Annotated[
    float, typer.Option(min=0, max=100, help="Sample at this temperature; 0 takes the most likely token.")
]
TopP = Annotated[
    float,
    typer.Option(
        min=0.001, max=1, help="Sample from the likeliest tokens that have this probability together; 1: from all."
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Sample with this seed.")]
Precision = Annotated[
    Literal["fp32", "bf16"],
    typer.Option(help="Load the weights in this precision, on the GPU if there is one."),
]
Out = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER_OR_ADDRESS",
        help="Write the data set to this folder, or to s3://bucket/path in an object store. Default: out/ and the "
        "recipe's name.",
        show_default=False,
    ),
]
Work = Annotated[
    Path | None,
    typer.Option(
        parser=path,
        help="Keep the results of stages in this folder, so that later builds reuse them. On a cluster, it must be on "
        "shared storage. Default: .work beside the data set, and out/.work if that is in an object store.",
        show_default=False,
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead, for a program to read.")]
Limit = Annotated[
    int | None, typer.Option(min=1, max=MOST_ROWS, help="Use only this many dialogues.", show_default=False)
]


@app.command()
def build(recipe: Recipe, out: Out = None, work: Work = None, limit: Limit = None) -> None:
    """Make the data set of a recipe. If a build was stopped, the same command continues it.

    The data set appears under `--out` once it is whole. The results of each stage stay under `--work`, in a folder
    named by everything that changed them, so a recipe with the same dialogues and voices reuses the speech.

        duplexgen build turn_taking --out s3://bucket/turn_taking

    A store (`pip install 'duplexgen[s3]'`) must speak S3 and heed `If-None-Match`. Credentials and another endpoint
    than Amazon's come from the environment: AWS_PROFILE or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
    AWS_ENDPOINT_URL. The data set is whole there once it has the object `_SUCCESS`; `verify`, `inspect` and `train`
    read it where it is. It is staged under `--work`, which needs room for it, and is a folder in any case.
    """
    api.build(recipe, out=out, work=work, limit=limit)


@app.command()
def plan(recipe: Recipe, out: Out = None, work: Work = None, limit: Limit = None, as_json: AsJson = False) -> None:
    """Say what a build would do: how many dialogues, hours and partitions, and which partitions are done already.

    Reads and checks the recipe and its sources. Runs no voice.
    """
    from .pipeline.commands import checking
    from .pipeline.commands.as_json import plan_object, written
    from .pipeline.commands.build import prepare
    from .pipeline.commands.planned import planned
    from .pipeline.commands.report import describe_plan
    from .pipeline.show.progress import Display
    from .pipeline.storage.targets import target_of

    content, base = checking.load(recipe)
    target = api.build_place(out, content.name)
    folder = api.work_place(work, target)
    target_of(target, folder).check()
    build = planned(prepare(content, base, folder, limit, Display()))
    say(written(plan_object(build)) if as_json else describe_plan(build))


@app.command()
def doctor(recipe: Recipe, out: Out = None, work: Work = None, as_json: AsJson = False) -> None:
    """Say what a recipe needs and this machine lacks: packages, weights, voices, a GPU, an endpoint, room on the disk.

    Of a training recipe it also says how much memory and time training takes, on 1, 8 and 32 GPUs. Loads no model.
    Exits with 1 if something is missing.
    """
    from .pipeline.commands.as_json import findings_object, written
    from .training.recipe import is_training

    def places(name: str) -> tuple[Place, Path]:
        target = api.build_place(out, name)
        return target, api.work_place(work, target)

    if is_training(recipe):
        api.needs_training()
        from .training.doctor import examine as examine_training

        findings = examine_training(recipe)
    else:
        from .pipeline.commands.doctor import examine

        findings = examine(recipe, places)
    found = []
    for finding in findings:
        found.append(finding)
        if not as_json:
            say_line(str(finding))
    if as_json:
        say(written(findings_object(recipe, found)))
    raise typer.Exit(0 if all(finding.is_well for finding in found) else 1)


@app.command()
def dpo_pairs(
    dataset: Folder,
    recipe: Annotated[
        str,
        typer.Argument(
            help="Read this recipe of pairs: a file, or the name of one that ships.", metavar="[PAIRS_RECIPE]"
        ),
    ] = "timing",
    out: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="Write the pairs to this folder. Default: out/ and the data set's name with .pairs.",
            show_default=False,
        ),
    ] = None,
    work: Work = None,
) -> None:
    """Make preference pairs of a data set: each row beside the same row with one mistake of the assistant's.

    Runs no voice, and decodes no audio unless the recipe says `retokenize`. If it was stopped, the same command
    continues it. The pairs are a data set of their own, which `verify` and `inspect` read.
    """
    api.dpo_pairs(dataset, recipe, out=out, work=work)


@app.command()
def verify(dataset: FolderOrStore, as_json: AsJson = False) -> None:
    """Recompute every checksum of a data set and check every row. Exits with 1 if something is wrong."""
    from .pipeline.commands.as_json import failures_object, written

    if as_json:
        found = [*api.verify(dataset)]
        say(written(failures_object(dataset, found)))
        raise typer.Exit(1 if found else 0)
    failures = 0
    for failure in api.verify(dataset):
        say_line(failure)
        failures += 1
    if failures:
        say_line(f"{dataset}: {failures} {'failure' if failures == 1 else 'failures'}")
        raise typer.Exit(1)
    say_line(f"{dataset}: every checksum and every invariant holds")


@app.command()
def inspect(
    dataset: FolderOrStore,
    dialogue: Annotated[
        str | None,
        typer.Argument(help="Show this dialogue, given by its id or by its number from 0.", show_default=False),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show counts and timing statistics, or one dialogue as its layout has it.

    With --json, a dialogue is its row with all columns but the audio.
    """
    from .pipeline.commands.as_json import dataset_object, dialogue_object, written
    from .pipeline.commands.report import describe_dataset, describe_dialogue
    from .pipeline.kinds import opened

    content = opened(api.data_place(dataset))
    if as_json:
        say(written(dataset_object(content) if dialogue is None else dialogue_object(content, dialogue)))
    else:
        say(describe_dataset(content) if dialogue is None else describe_dialogue(content, dialogue))


@app.command()
def view(
    dataset: Folder,
    dialogue: Annotated[
        str | None,
        typer.Argument(help="Show this dialogue first, given by its id or by its number from 0.", show_default=False),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Listen on this port of this machine; 0 takes any that is free.")
    ] = 8321,
    export: Annotated[
        Path | None,
        typer.Option(
            metavar="PAGE.html",
            parser=path,
            help="Write the dialogue to this new file and serve nothing. The file has its sound in it and opens in any "
            "browser, from a disk too.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Look at a data set and hear it: a page in the browser of this machine. Ctrl-C ends it.

        duplexgen view out/natural

        duplexgen view out/natural 12 --export page.html

    Shows who speaks when, on two channels with their events, words and pauses; what the model reads, block by block or
    stream by stream; of preference pairs, both sides on one clock; and what was rejected, and why. Sound is what the
    data set has stored, or is decoded from its codes.

    The page only reads, and asks nothing of the network. It is on 127.0.0.1, so only this machine has it: whoever works
    on it can look while the command runs. From another machine: `ssh -L 8321:127.0.0.1:8321 HOST`.
    """
    from .pipeline.view.page import export as write
    from .pipeline.view.rows import place_of
    from .pipeline.view.server import Server, serve
    from .pipeline.view.viewer import Viewer

    viewer = Viewer(dataset)
    if export is not None and dialogue is None:
        raise UserError(f"--export writes one dialogue: name it, as in `duplexgen view {dataset} 0 --export {export}`.")
    number = None if dialogue is None else place_of(viewer.dataset, dialogue)
    if export is not None and number is not None:
        write(viewer, number, export)
        say_line(f"{export}: dialogue {dialogue}, {export.stat().st_size / 1e6:.1f} MB. Open it in a browser.")
        return
    server = Server(viewer, port)
    where = f"{server.url}{'' if number is None else f'#{number}'}"
    serve(server, lambda: say_line(f"{where} shows {dataset}. Ctrl-C ends it."))


@app.command()
def export(
    dataset: Folder,
    to: Annotated[
        Literal[
            "trl",
            "llama-factory",
            "moshi",
            "j-moshi",
            "shar",
            "webdataset",
            "croissant",
            "full-duplex-bench",
        ],
        typer.Option(help="Write what this program reads.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="Write to this folder. Default: beside the data set, its name with the program's, such as "
            "turn_taking.trl.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a data set as another program reads it.

    | `--to` | for | what it needs |
    |---|---|---|
    | `trl` | TRL: `SFTTrainer`; pairs for `DPOTrainer` | layout `bayling` |
    | `llama-factory` | LLaMA-Factory, `tokenized_path`; pairs, too | layout `bayling` |
    | `moshi` | moshi-finetune of Kyutai: audio with words | audio, words of the assistant's |
    | `j-moshi` | moshi-finetune of J-Moshi: streams of both speakers | layout `moshi`, words |
    | `shar` | Lhotse and NeMo's duplex models | audio |
    | `webdataset` | tar files; pairs, too | |
    | `croissant` | croissant.json beside the shards; pairs, too | |
    | `full-duplex-bench` | inputs of Full-Duplex-Bench v1.0 and v1.5 | audio |

    The README.md in the new folder says what to write next, and has the licence and the card of the data set. Needs
    none of these programs. What a data set cannot give is said before any work. If an export was stopped, the same
    command continues it; the folder appears once it is whole.

        duplexgen export out/turn_taking --to trl
    """
    from .pipeline.storage.places import expanded

    target = api.export_place(expanded(dataset), to, out)
    exported = api.export(dataset, to=to, out=target)
    for reason, count in sorted(exported.left_out.items()):
        say_line(f"left out {count:,}: {reason}")
    there = "" if exported.is_new else "is there already: "
    say_line(f"{target}: {there}{exported.rows:,} rows for {to}. What to write next: {target / 'README.md'}")


@app.command()
def talk(
    model: Model,
    user: Annotated[
        Path, typer.Option(parser=path, help="Play this recording of a user: a .wav or .flac file.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="Write the conversation to this folder. Default: out/talk/, the model's name, and the recording's.",
            show_default=False,
        ),
    ] = None,
    channel: Annotated[
        int | None,
        typer.Option(min=0, help="Take the user from this channel, if the recording has several.", show_default=False),
    ] = None,
    silence: Annotated[
        float,
        typer.Option(min=0, max=600, help="Listen to this many seconds of silence after the recording."),
    ] = 8.0,
    temperature: Temperature = 0.8,
    top_p: TopP = 1.0,
    seed: Seed = 0,
    precision: Precision = "fp32",
    decoder: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="Decode codes of GLM-4-Voice with this folder. Default: the one that the data's recipe names.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Let a trained model listen to a recording and answer, block by block.

    Writes both.wav (channel 0 is the user, 1 the assistant), assistant.wav, transcript.txt and .json, and channels.png.
    Says how long a block took, compared with the time that it covers.
    """
    api.needs_training()
    from .pipeline.show.progress import Display
    from .training.devices import inference_device
    from .training.live.stream import Sampling
    from .training.live.talk import read_recording, transcript, with_silence, write
    from .training.live.talk import talk as run
    from .training.models.model import load_model

    folder = api.place(out, f"talk/{model.resolve().name}/{user.stem}")
    if folder.exists():
        raise UserError(f"{folder} is there already. Choose another folder with --out, or remove it.")
    duplex = load_model(model, inference_device(), precision, decoder)
    rate, block_samples = duplex.format.sample_rate, duplex.format.block_samples
    block_s = block_samples / rate
    recording, own_rate = read_recording(user, rate, channel)
    if own_rate != rate:
        say_line(f"{user}: resampled from {own_rate} to {rate} Hz")
    samples = with_silence(recording, silence, duplex.format)
    with Display().counting("blocks", len(samples) // block_samples) as report:
        conversation = run(duplex, samples, Sampling(temperature, seed, top_p), report)
    about = {"user": user.name, "model": model.resolve().name, "temperature": temperature, "top_p": top_p, "seed": seed}
    for line in transcript(write(conversation, duplex, about, folder)):
        say_line(line)
    took_s = conversation.took_s
    say_line(
        f"{folder}: a block of {block_s:g} s took {took_s.mean():.3f} s, at most {took_s.max():.3f} s: "
        f"real-time factor {conversation.real_time_factor(block_s):.2f}"
    )


@app.command()
def evaluate(
    model: Model,
    evalset: Annotated[
        list[Path] | None,
        typer.Argument(
            parser=path, help="Measure on these data sets of held-out dialogues, with audio.", show_default=False
        ),
    ] = None,
    full_duplex_bench: Annotated[
        Path | None,
        typer.Option(
            metavar="ROOT",
            parser=path,
            help="Measure on the items of Full-Duplex-Bench in this folder instead, v1.0 and v1.5, as the benchmark "
            "publishes them or `export --to full-duplex-bench` writes them.",
            show_default=False,
        ),
    ] = None,
    recipe: Annotated[
        str,
        typer.Option(metavar="EVALUATION_RECIPE", help="Read this recipe: a file, or the name of one that ships."),
    ] = "timing",
    out: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            help="Write the figures to this folder. Default: out/evaluation/ and the model's name, with "
            ".full-duplex-bench for the benchmark.",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=MOST_ROWS,
            help="Use only this many dialogues of each set, or items of each folder.",
            show_default=False,
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, max=10_000, help="Run this many dialogues together; it changes only the time.")
    ] = 16,
) -> None:
    """Measure a trained model's timing on audio: TT SR@3s, Overlap, ISR@2s (BayLing-Duplex, section 4.2).

    Plays the users' channels of evaluation sets to the model in simulated real time. Writes evaluation.json and
    timing.png. Of data sets with asides and pauses, it also measures false stops, false starts and take-overs by kind.
    The recipe says the rest; its keys are `seed`, `temperature`, `top_p`, `precision`, `decoder`,
    `keep_audio`, `transcripts`, `judge`, `answers`, `icc_gt_distribution` and `tables`. Four recipes ship: `timing`,
    `content`, which also rates the words of the replies, `paper`, whose tables have the figures beside those of
    BayLing-Duplex, and `full_duplex_bench`.

        duplexgen evaluate out/dpo_small --full-duplex-bench v1.0 --recipe full_duplex_bench

    With `--full-duplex-bench`, the items of that benchmark are played, and scored by its rules: turns that are taken
    (TOR), latency, backchannels. Each item is copied to `--out` with the model's `output.wav`, and with `output.json`
    if the recipe says `transcripts`, so the benchmark's own scripts can be run there. ROOT stays as it is. If it was
    stopped, the same command continues it.
    """
    result = api.evaluate(
        model, evalset or (), full_duplex_bench=full_duplex_bench, recipe=recipe, out=out, limit=limit, batch=batch
    )
    from .training.metrics.evaluation_report import problems, table
    from .training.metrics.full_duplex_bench.evaluation import notes
    from .training.metrics.paper import tables
    from .training.metrics.recipe import EvaluationRecipe

    Console().print(table(result))
    wanted = EvaluationRecipe.model_validate(result["recipe"]).tables
    for one in tables(result, wanted) if wanted else ():
        Console().print(one)
    for line in (*notes(result), *problems(result)):
        say_line(line)
    folder = api.evaluation_place(model, out, full_duplex_bench is not None)
    say_line(f"{folder}: evaluation.json, {'outputs' if full_duplex_bench else 'timing.png'}")


@app.command()
def questions(
    file: Annotated[
        Path, typer.Argument(parser=path, help="Read this question set as it is published.", show_default=False)
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            parser=path, help="Write to this folder. Default: questions/ and the file's name.", show_default=False
        ),
    ] = None,
) -> None:
    """Make a published question set ready for `build` and `evaluate`: Llama Questions, Web Questions, AlpacaEval.

    Reads .json, .jsonl, .parquet and .csv. Writes `questions/`, a source of the shape `alpaca`, and `answers.jsonl`,
    which `answers:` of an evaluation recipe names.
    """
    from .training.metrics.questions import summary, write

    folder = api.place(out or Path("questions") / file.stem, "")
    for line in summary(write(file, folder), folder):
        say_line(line)


TrainingRecipe = Annotated[
    str,
    typer.Argument(
        help="Read this training recipe: a file, or the name of one that ships.",
        show_default=False,
        autocompletion=_training_recipes,
    ),
]
ModelOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        parser=path,
        help="Write the model to this folder. Default: out/ and the recipe's name.",
        show_default=False,
    ),
]


@train_app.command()
def sft(recipe: TrainingRecipe, out: ModelOut = None) -> None:
    """Train a model on data sets (stage I, supervised fine-tuning). If it was stopped, the same command continues it.

    Writes the losses per kind of token to `log.jsonl` and for TensorBoard. On several devices, start it by
    `accelerate launch -m duplexgen train sft RECIPE`.
    """
    api.train_sft(recipe, out=out)


@train_app.command()
def dpo(recipe: TrainingRecipe, out: ModelOut = None) -> None:
    """Train a model of stage I further on the pairs of `dpo-pairs` (stage II, preference optimization).

    Computes the log-probabilities of that model, the reference, once and stores them.
    """
    api.train_dpo(recipe, out=out)


@voices_app.command("prepare")
def prepare_voices(
    recordings: Annotated[
        str,
        typer.Argument(
            metavar="FOLDER_OR_HUB_DATASET",
            help="Read these recordings: a folder of audio files at any depth (wav, flac, mp3, ogg), with or without a "
            "metadata.csv or metadata.jsonl (file, text, speaker, language, sex, license); or a data set with a column "
            "of audio.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path, typer.Option(metavar="BANK", parser=path, help="Write the bank to this folder.", show_default=False)
    ],
    recipe: Annotated[
        str, typer.Option(metavar="VOICES_RECIPE", help="Read this recipe: a file, or the name of one that ships.")
    ] = "cloning",
) -> None:
    """Make a voice bank of recordings: per voice, one clip of 3 to 15 s that is clean, clear and unlike the others.

    The bank's README.md, rejected.jsonl and clips.png say which recordings were kept and why others were not. Exits
    with 1 if none was kept. The speaker's name, or else the content of the recording, decides which voices are held
    out, so more recordings change nothing for the others. The recipe says what a clip must be; its keys are `whisper`,
    `language`, `license`, `shortest_s`, `longest_s`, `min_dnsmos`, `max_similarity`, `min_coherence`, `held_out_share`,
    `seed`, and `data_set` with `config`, `split` and `revision`.
    """
    from collections import Counter

    from .pipeline.recipe.file import load
    from .pipeline.show.progress import Display
    from .pipeline.voices.prepare import prepare
    from .pipeline.voices.recipe import VOICES_RECIPES, VoicesRecipe

    content, _ = load(recipe, VoicesRecipe, VOICES_RECIPES)
    if reason := problem(recordings):
        raise UserError(f"{recordings} {reason}.")
    target = api.place(out, "bank")
    bank = prepare(recordings, target, content, Display())
    for why, count in Counter(rejection.reason for rejection in bank.rejected).most_common():
        say_line(f"rejected {count:6,}  {why}")
    say_line(f"{target}: {bank.kept} voices, {bank.held_out} of them held out")
    if not bank.kept:
        raise typer.Exit(1)


@timing_app.command("fit")
def fit_timing(
    recordings: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            parser=path,
            help="Read these files, or all of a folder at any depth: .rttm with two speakers per recording, or .wav "
            "and .flac with a speaker on each of two channels.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(metavar="PROFILE", parser=path, help="Write the profile to this new file.", show_default=False),
    ],
) -> None:
    """Fit a profile of timing to recordings of people who talk in pairs: how long gaps, overlaps and pauses are.

        duplexgen timing fit corpus/rttm --out profile.yaml

    The profile is the section `timing` of a recipe. The time from the end of one speaker to the start of the other is
    a mixture: gaps are normal, overlaps are log-normal, and each pair of speakers has an offset of its own. Pauses
    within a turn are log-normal. Each number has its standard error beside it.

    In audio, voice activity says who speaks; a speaker who is heard on the other's channel counts as speaking there.
    Files that cannot be used are left out, with the reason. Prints the figures beside those that are published.
    """
    from .pipeline.commands.timing import figures
    from .pipeline.commands.timing import fit_timing as run
    from .pipeline.show.progress import Display

    target = api.place(out, "")
    for line in figures(run(recordings, target, Display())):
        say_line(line)
    say_line(f"{target}: a profile of timing")


Kind = Annotated[
    Literal["glm-4-voice-9b"],
    typer.Argument(help="Expect a model of this kind; its numbers of layers and heads may be others."),
]
NewModel = Annotated[
    Path, typer.Option("--out", parser=path, help="Write the model to this new folder.", show_default=False)
]


@models_app.command("convert")
def convert_model(
    kind: Kind,
    published: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            parser=path,
            help="Read this model: a folder as `hf download` writes it, with config.json, tokenizer.model and weights "
            "in safetensors.",
            show_default=False,
        ),
    ],
    out: NewModel,
) -> None:
    """Rewrite a published model so that `train` can start from it. The code that comes with the model is never run.

    GLM-4-Voice is published under the names of ChatGLM, for code of its own. The new folder has the same weights under
    the names that transformers' own class GLM loads, in the same precision, and a tokenizer with the tokens that the
    layout `bayling` adds. A state starts as the mean of the text tokens; `<|audio_16383|>`, which GLM-4-Voice lacks,
    starts as the mean of the other audio tokens.

        hf download zai-org/glm-4-voice-9b --local-dir models/published
        duplexgen models convert glm-4-voice-9b models/published --out models/glm-4-voice-9b
        duplexgen train sft bayling_sft

    Weights are read and written in blocks, so little memory is needed. The disk needs room for a second copy.
    """
    api.needs_training()
    from .pipeline.show.progress import Display
    from .training.convert.glm4voice import convert

    target = api.place(out, out.name)
    read = convert(published, target, lambda tensors: Display().counting("tensors", tensors))
    added = ", ".join(read.added.values()) or "none"
    say_line(f"{target}: {kind}, rows set for new tokens: {added}. Train from it: model.pretrained in a recipe.")


@models_app.command("export")
def export_model(
    kind: Kind,
    model: Annotated[
        Path,
        typer.Argument(parser=path, help="Read this model, trained from one that `convert` wrote.", show_default=False),
    ],
    published: Annotated[
        Path,
        typer.Option(
            parser=path, help="Read this folder, which was converted, for all but the weights.", show_default=False
        ),
    ],
    out: NewModel,
) -> None:
    """Rewrite a trained model as it was published, so that programs made for the published one run it.

    This is `convert` backwards: the weights get ChatGLM's names, the published files and precision back. The code,
    configuration and tokenizer are those of the published folder, with the new tokens. The published inference of
    BayLing-Duplex takes the new folder as its `--model-path`.

        duplexgen models export glm-4-voice-9b out/bayling_sft --published models/published --out models/bayling_duplex
    """
    api.needs_training()
    from .pipeline.show.progress import Display
    from .training.convert.glm4voice import export

    target = api.place(out, out.name)
    export(model, published, target, lambda tensors: Display().counting("tensors", tensors))
    say_line(f"{target}: {kind} as {published} has it, with the weights and tokens of {model}")


def _print_version(asked: bool) -> None:
    if asked:
        say(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command. A mistake of the user ends it with a message and exit status 2, never with a traceback.

    SIGTERM and SIGHUP stop it as Ctrl-C does.
    """
    with stops() as status:
        try:
            app()
        except UserError as error:
            say(f"duplexgen: {error}", error=True)
            sys.exit(2)
        except BaseException as error:
            if not status() or (isinstance(error, SystemExit) and not error.code):  # `view` ends well by a signal
                raise
            with suppress(OSError):
                say(STOPPED, error=True)
            sys.exit(status())


if __name__ == "__main__":
    main()

"""A recipe is checked as a whole, and every mistake is shown with its line."""

from pathlib import Path

import pytest

from duplexgen.pipeline.acoustics.gain import GainSection
from duplexgen.pipeline.acoustics.leak import LeakSection
from duplexgen.pipeline.acoustics.noise import NoiseSection
from duplexgen.pipeline.commands import checking
from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.events.phrases import PHRASES
from duplexgen.pipeline.layouts.bayling import BaylingSection
from duplexgen.pipeline.recipe.file import shipped
from duplexgen.pipeline.scenarios.interruption import InterruptionTiming
from duplexgen.pipeline.scenarios.scenarios import SCENARIOS
from duplexgen.pipeline.scenarios.turn_taking import TurnTakingTiming

GOOD = """\
name: talk
sources:
  - name: talk
    shape: ultrachat
    path: talk.jsonl
speech:
  engine: kokoro
  assistant_voice: af_heart
timing:
  scenario: turn_taking
"""


def mistakes(tmp_path: Path, text: str) -> list[str]:
    (tmp_path / "talk.jsonl").write_text("")
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        checking.load(str(path))
    assert "Traceback" not in str(error.value)
    return [line.strip().removeprefix(f"{path}:") for line in str(error.value).splitlines()]


def test_recipes_that_ship_are_right() -> None:
    embedded = [name for name in shipped() if "/" not in name]
    assert {"turn_taking", "interruption"} <= set(embedded)
    for name in embedded:
        recipe, base = checking.load(name)
        assert recipe.name == name
        assert (base / str(recipe.sources[0].path)).exists()


@pytest.mark.parametrize(
    ("family", "names"),
    [
        ("bayling", ["bayling_interruption", "bayling_turn_taking"]),
        *((name, [name]) for name in ("instruct_s2s_interruption", "instruct_s2s_turn_taking")),
        *((name, [name]) for name in ("llama_questions", "web_questions")),
        ("flm", ["flm_asr", "flm_fine_tuning_1", "flm_fine_tuning_2", "flm_tts"]),
    ],
)
def test_recipes_of_papers_lack_nothing_but_what_must_be_had_elsewhere(family: str, names: list[str]) -> None:
    papers = [name for name in shipped() if name.startswith(f"paper/{family}")]
    assert papers == [f"paper/{name}" for name in names]
    models = {"speech.cosyvoice.model", "speech.cosyvoice.bank", "speech.cosyvoice.source", "speech.gate"}
    models |= {"tokens.glm4voice.checkpoint", "tokens.mimi.checkpoint", "tokens.pretrained.folder"}
    recipes = []
    for name in papers:
        _, recipe, mistakes = checking.examine(name)
        elsewhere = ("speech.gate", "acoustics[1].folders", "acoustics[2].folders")
        assert {mistake.key for mistake in mistakes if not mistake.key.startswith(elsewhere)} <= models
        assert recipe is not None and recipe.name in (name.removeprefix("paper/"), name.replace("/", "_"))
        recipes.append(recipe)
    shared = {"sources", "rewriting", "speech", "seed", "partition_size"}
    one, *others = [recipe.model_dump(include=shared) for recipe in recipes]
    assert others == [one] * len(others), "speech is shared by all"


def test_recipes_that_ship_have_different_names() -> None:
    """A build without --out writes to a folder of this name."""
    names = [recipe.name for name in shipped() if (recipe := checking.examine(name)[1])]
    assert len(set(names)) == len(names) == len(shipped())


def test_recipes_of_flm_audio_say_what_its_paper_says() -> None:
    """arXiv 2509.02521: sections 3.1, 3.2.1 and 3.2.2."""
    recipes = {
        name: recipe for name in shipped() if name.startswith("paper/flm") and (recipe := checking.examine(name)[1])
    }
    for recipe in recipes.values():
        assert {source.language for source in recipe.sources} == {"en", "zh"}
        publishers = {str(source.hub).split("/")[0] for source in recipe.sources}
        assert publishers == {"Magpie-Align", "BelleGroup", "BAAI", "WizardLMTeam", "HuggingFaceH4"}
        assert sum(source.limit or 0 for source in recipe.sources) == 200_000
        assert recipe.rewriting.llm and recipe.rewriting.llm.rewrites == "replies"
        assert (recipe.rewriting.max_exchanges, recipe.speech.renditions) == (10, 2)
        assert (recipe.tokens.speech_tokenizer, recipe.output.sample_rate) == ("mimi", 24_000)
    styles = {name.removeprefix("paper/flm_"): recipe.layout.model_dump() for name, recipe in recipes.items()}
    assert {name: style["format"] for name, style in styles.items()} == {
        "tts": "tts", "asr": "asr", "fine_tuning_1": "asr_response_tts", "fine_tuning_2": "response_tts",
    }  # fmt: skip
    assert {(style["text_lead"], style["acoustic_delay"], style["audio_pad"]) for style in styles.values()} == {
        (2, 1, 2048)
    }
    effects = {name.removeprefix("paper/flm_"): recipe.acoustics for name, recipe in recipes.items()}
    gain, leak, noise = effects["fine_tuning_2"]
    assert effects["fine_tuning_1"] == [gain, noise] and effects["tts"] == effects["asr"] == []
    assert (gain, leak) == (GainSection(), LeakSection())  # whose defaults are the paper's
    assert noise == NoiseSection(folders=["noise/dns_challenge", "noise/rnnoise", "noise/speech"])
    assert gain.model_dump() == {
        "effect": "gain",
        "probability": 0.6,
        "min_level_db": -40,
        "gain_db": {"low": -24, "high": 20},
    }
    assert leak.model_dump() == {
        "effect": "leak",
        "probability": 0.3,
        "delay_s": {"low": 0.1, "high": 0.5},
        "gain": {"low": 0, "high": 0.2},
    }
    assert noise.model_dump(include={"level_db", "silence_probability"}) == {
        "level_db": {"low": -70, "high": -40},
        "silence_probability": 0.3,
    }
    free = recipes["paper/flm_fine_tuning_2"].timing.model_dump()
    assert (free["interruption_probability"], free["reaction_delay_s"]) == (0.7, {"low": 0.5, "high": 0.5})


def test_defaults(tmp_path: Path) -> None:
    (tmp_path / "talk.jsonl").write_text("")
    (tmp_path / "recipe.yaml").write_text(GOOD)
    recipe, base = checking.load(str(tmp_path / "recipe.yaml"))
    assert base == tmp_path
    assert (recipe.output.sample_rate, recipe.tokens.margin_frames) == (16000, 40)
    assert recipe.layout == BaylingSection(name="bayling", user_tokens=10, text_tokens=5, ast_offset=-1)
    assert recipe.timing == TurnTakingTiming(scenario="turn_taking") and recipe.timing.reply_delay_s == 0.8
    (tmp_path / "recipe.yaml").write_text(GOOD.replace("turn_taking", "interruption"))
    timing = checking.load(str(tmp_path / "recipe.yaml"))[0].timing
    assert isinstance(timing, InterruptionTiming) and timing.reaction_delay_s.high == 2.0


def test_a_layout_that_needs_times_of_words_gets_them_from_the_engine_or_the_gate(tmp_path: Path) -> None:
    moshi = GOOD.replace("timing:", "layout: {name: moshi}\ntiming:")
    (tmp_path / "moshi.yaml").write_text(moshi)
    (tmp_path / "talk.jsonl").write_text("")
    checking.load(str(tmp_path / "moshi.yaml"))
    says = "speech.gate: the layout moshi needs the times of words, and cosyvoice does not tell them."
    cloned = moshi.replace("kokoro", "cosyvoice")
    assert any(says in line for line in mistakes(tmp_path, cloned))
    heard = cloned.replace("engine:", "gate: {max_wer: 0.1}\n  engine:")
    assert not any(says in line for line in mistakes(tmp_path, heard))


def test_events_in_a_language_without_phrases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(PHRASES, "en")
    found = mistakes(tmp_path, GOOD.replace("turn_taking\n", "natural\nevents: {}\n"))
    assert found[1:] == ["11: events: there are phrases in zh, and sources in en"]


def test_one_user_voice_is_enough_where_no_bystander_speaks(tmp_path: Path) -> None:
    text = GOOD.replace("af_heart\n", "af_heart\n  user_voices: [am_michael]\n")
    (tmp_path / "talk.jsonl").write_text("")
    for timing in ("turn_taking\n", "natural\n", "natural\nevents: {during_replies: {bystander: 0}}\n"):
        (tmp_path / "recipe.yaml").write_text(text.replace("turn_taking\n", timing))
        checking.load(str(tmp_path / "recipe.yaml"))


def test_six_mistakes_at_once(tmp_path: Path) -> None:
    text = """\
name: talk
seed: -1
sources:
  - name: talk
    shape: ultrachatt
    path: talk.jsonl
  - name: more
    shape: alpaca
    path: nowhere.json
speech:
  engine: kokoro
  assistant_voice: af_hart
  loudness: -20
timing:
  scenario: turn_taking
  next_turn_gap_s: [3.0, 0.5]
layout:
  user_tokens: 0
"""
    first, *found = mistakes(tmp_path, text.replace("  loudness: -20\n", ""))
    assert first == "6 mistakes in the recipe, nothing was done:"
    assert [line.split(": ")[0] for line in found] == ["2", "5", "9", "12", "15", "17"]
    assert [line.split(": ")[1] for line in found] == [
        "seed",
        "sources[0].shape",
        "sources[1].path",
        "speech.assistant_voice",
        "timing.next_turn_gap_s",
        "layout.user_tokens",
    ]
    assert "af_heart" in found[3]
    assert "13: speech.loudness: is not a key of a recipe here; did you mean loudness_lufs?" in mistakes(tmp_path, text)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("engine: kokoro", "engine: kokoroo"), "7: speech.engine: expected one of cosyvoice, kokoro"),
        (("name: talk\nsources", "name: a b\nsources"), "1: name:"),
        (
            ("scenario: turn_taking", "scenario: chaos"),
            f"10: timing.scenario: expected one of {', '.join(sorted(SCENARIOS))}, got",
        ),
        (("timing:\n  scenario: turn_taking\n", ""), "1: timing: is missing"),
        (
            ("turn_taking\n", "turn_taking\n  reaction_delay_s: [1.0, 2.0]\n"),
            "11: timing.reaction_delay_s: is not a key",
        ),
        (("scenario: turn_taking", "scenario: [turn_taking]"), "10: timing.scenario: Input should be a valid string"),
        (("timing:", "acoustics: [{effect: rain}]\ntiming:"), "9: acoustics[0].effect: expected one of"),
        (("timing:", "acoustics: {effect: noise}\ntiming:"), "9: acoustics: "),
        *(
            (("timing:", f"acoustics: [{{effect: {effect}}}]\ntiming:"), f"9: acoustics[0].{key}: {says}")
            for effect, key, says in (
                ("leak, probability: 1.5", "probability", "Input should be less than or equal to 1"),
                ("gain, probability: -0.1", "probability", "Input should be greater than or equal to 0"),
                ("noise, silence_probability: 2", "silence_probability", "Input should be less than or equal to 1"),
                ("noise, level_db: [-40, -70]", "level_db", "expected low <= high"),
                ("noise, level_db: [-40]", "level_db", "expected [low, high] in dB"),
                ("noise, level_db: [-130, 0]", "level_db.low", "Input should be greater than or equal to -120"),
                ("noise, clip_s: [0, 1]", "clip_s.low", "Input should be greater than or equal to 0.1"),
                ("noise, folders: [nowhere]", "folders[0]", ""),
                ("noise, folders: [talk.jsonl]", "folders[0]", ""),
                ("noise, embedded: []", "embedded", "expected one of white, pink"),
                ("noise, embedded: [rain]", "embedded[0]", "Input should be 'white'"),
                ("noise, split: test", "split", "Input should be 'train' or 'held_out'"),
                ("bursts, per_minute: -1", "per_minute", "Input should be greater than or equal to 0"),
                ("bursts, longest_s: 0.01", "longest_s", "Input should be greater than or equal to 0.05"),
                ("bursts, level_db: [-20, -40]", "level_db", "expected low <= high"),
                ("bursts, folders: [nowhere]", "folders[0]", ""),
                ("bursts, embedded: []", "embedded", "expected one of door, knock"),
                ("bursts, embedded: [hum]", "embedded[0]", "Input should be 'door'"),
                ("bursts, split: test", "split", "Input should be 'train' or 'held_out'"),
                ("room, t60_s: [0.05, 0.3]", "t60_s.low", "Input should be greater than or equal to 0.15"),
                ("telephone, rate: 8000", "rate", "is not a key"),
            )
        ),
        (("timing:", "layout: {name: [bayling]}\ntiming:"), "9: layout.name: Input should be a valid string"),
        (("timing:", "layout: {ast_offset: 1}\ntiming:"), "9: layout.ast_offset: "),
        (
            ("timing:", "tokens: {margin_frames: 18}\ntiming:"),
            "9: tokens.margin_frames: expected at least what the layout",
        ),
        (("timing:", "layout: {user_tokens: 21}\ntiming:"), "tokens.margin_frames: expected at least what the layout"),
        (
            ("turn_taking\n", "semi_duplex\n  text_lead_frames: 1\nlayout: {name: flm, format: asr_response_tts}\n"),
            "11: timing.text_lead_frames: expected at least layout.text_lead, 2 frames, got 1",
        ),
        (
            ("turn_taking\n", "turn_taking\nlayout: {name: flm, format: asr_response_tts}\n"),
            "10: timing.scenario: leaves no time for a transcript",
        ),
        (
            ("turn_taking\n", "turn_taking\nlayout: {name: flm, format: tts}\n"),
            "10: timing.scenario: has speech on the channel of assistant and user, and the layout flm is for speech on "
            "that of assistant.",
        ),
        (
            ("turn_taking\n", "pieces\n  channel: user\nlayout: {name: flm, format: response_tts}\n"),
            "10: timing.scenario: has speech on the channel of user, and the layout flm is for speech on that of "
            "assistant and user.",
        ),
        (("turn_taking\n", "pieces\n"), "10: timing.scenario: has speech on the channel of assistant, "),
        (
            ("turn_taking\n", "free_input\n  reply_delay_s: 0.2\nlayout: {name: flm}\n"),
            "11: timing.reply_delay_s: expected at least 0.24, layout.text_lead and one frame more",
        ),
        (
            ("turn_taking\n", "turn_taking\nlayout: {name: flm, text_lead: 10}\n"),
            "timing.reply_delay_s: expected at least 0.88, layout.text_lead and one frame more",
        ),
        (("timing:", "output: {sample_rate: 11026}\ntiming:"), "9: output.sample_rate: a frame of"),
        (
            ("timing:", "layout: {name: streams}\ntiming:"),
            "9: layout.name: expected one of bayling, flm, moshi, got 'streams'",
        ),
        (("timing:", "tokens: {text_tokenizer: x}\ntiming:"), "9: tokens.text_tokenizer: expected one of bpe"),
        (("timing:", "rewriting: {engine: x}\ntiming:"), "9: rewriting.engine: expected one of llm, rules"),
        (("timing:", "tokens: {mimi: {checkpoint: x}}\ntiming:"), "9: tokens.mimi: changes nothing"),
        (
            ("turn_taking\n", "natural\nevents: {llm: {url: 'http://a/v1', model: m}}\n"),
            "11: events.llm: changes nothing: it is for `texts: llm`",
        ),
        (
            ("turn_taking\n", "natural\nevents: {texts: llm}\n"),
            "11: events.llm: expected a section with a url and a model, as events.texts is llm",
        ),
        (
            ("turn_taking\n", "natural\nevents: {texts: llm, llm: {url: 'http://a/v1', model: m, prompt: none.md}}\n"),
            "11: events.llm.prompt: none.md: cannot be read",
        ),
        (
            ("turn_taking\n", "natural\nevents: {texts: llm, llm: {url: 'http://a/v1?key=k', model: m}}\n"),
            "11: events.llm.url: expected an address alone; a key belongs in OPENAI_API_KEY",
        ),
        (
            (
                "turn_taking\n",
                "natural\nevents: {phrases: held_out, texts: llm, llm: {url: 'http://a/v1', model: m}}\n",
            ),
            "11: events.phrases: changes nothing, as events.texts is llm",
        ),
        (("shape: ultrachat", "shape: ultrachat\n    shape: alpaca"), "5: sources[0].shape: appears twice"),
        (("path: talk.jsonl", "path: talk.jsonl\n    hub: a/b"), "3: sources[0]: expected exactly one of"),
        (("path: talk.jsonl", "path: talk.jsonl\n    language: zh"), "'af_heart' does not speak zh; these do: zf_"),
        (("timing:", "max-rejected-share: 0.3\ntiming:"), "9: max-rejected-share: is not a key of a recipe here"),
        (("path: talk.jsonl", "path: talk.jsonl\n    join: 7"), "6: sources[0].join: expected at most rewriting.max_"),
        (("path: talk.jsonl", "path: talk.jsonl\n    join: 0"), "6: sources[0].join: "),
        (("path: talk.jsonl", "path: talk.jsonl\n    where: {lang: no}"), "6: sources[0].where.lang: "),
        (
            ("path: talk.jsonl", "path: talk.jsonl\n    where: {lang: [en, zh]}"),
            "where.lang: expected text or a number",
        ),
        (("path: talk.jsonl", "path: talk.jsonl\n    where: en"), "6: sources[0].where: "),
        (("path: talk.jsonl", "path: talk.jsonl\n    id_key: ''"), "6: sources[0].id_key: "),
        (("turn_taking", "turn_taking\n  takes: 0"), "11: timing.takes: "),
        (("timing:", "timing:\n  reply-delay-s: 1"), "10: timing.reply-delay-s: is not a key of a recipe here"),
        (("timing:", "events: {}\ntiming:"), "9: events: the scenario turn_taking has turns alone, expected natural"),
        *(
            (("turn_taking\n", f"natural\nevents: {events}\n"), f"11: events.{says}")
            for events, says in (
                (
                    "{during_replies: {barge_in: 0.7}}",
                    "during_replies: expected shares that add up to 1 at most, got 1.2",
                ),
                ("{barge_ins: {repetition: 0.3}}", "barge_ins: expected shares that add up to 1, got 1.1"),
                ("{barge_ins: {follow_up: 0}}", "barge_ins: expected shares that add up to 1, got 0.7"),
                ("{assistant_backchannel: 1.5}", "assistant_backchannel: Input should be less than or equal to 1"),
                ("{during_replies: {laughter: 0.1}}", "during_replies.laughter: is not a key"),
                ("{phrases: eval}", "phrases: Input should be 'train' or 'held_out'"),
            )
        ),
        (
            (
                "assistant_voice: af_heart\ntiming:\n  scenario: turn_taking\n",
                "assistant_voice: af_heart\n  user_voices: [am_michael]\ntiming: {scenario: natural}\nevents: {}\n",
            ),
            "9: speech.user_voices: expected two voices or more for en, as a bystander has another than the user",
        ),
    ],
)
def test_one_mistake(tmp_path: Path, change: tuple[str, str], says: str) -> None:
    found = mistakes(tmp_path, GOOD.replace(*change, 1))
    assert len(found) == 2, found
    assert says in found[1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [", "line 1: not YAML"),
        ("just words", "expected a mapping of sections"),
        ("", "expected a mapping of sections"),
        ("name: !!python/object/apply:os.system [ls]", "1: name: has the tag !!python/object/apply:os.system"),
        ("\tname: x", "line 1: not YAML"),
    ],
)
def test_what_is_no_recipe(tmp_path: Path, text: str, says: str) -> None:
    assert says in "".join(mistakes(tmp_path, text))


@pytest.mark.parametrize(
    ("file", "sources"), [("README.md", ["mine"]), ("recipes/README.md", ["mine", "ultrachat", "alpaca"])]
)
def test_recipe_of_the_readme(tmp_path: Path, file: str, sources: list[str]) -> None:
    """As it shows it, with files of the names it says."""
    text = (Path(__file__).parents[2] / file).read_text(encoding="utf-8")
    for name in ("dialogues.jsonl", "alpaca.json"):
        (tmp_path / name).write_text("")
    path = tmp_path / "mine.yaml"
    path.write_text(text.split("```yaml\n")[1].split("```")[0])
    recipe, _ = checking.load(str(path))
    assert [source.name for source in recipe.sources] == sources


def test_a_name_that_is_nowhere() -> None:
    with pytest.raises(UserError, match=r"no such recipe.*: .*interruption, .*turn_taking"):
        checking.load("nowhere")
    with pytest.raises(UserError, match=r"turn_talking: no such recipe\. Did you mean turn_taking"):
        checking.load("turn_talking")

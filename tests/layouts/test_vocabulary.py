import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from duplexgen.pipeline.dataset.reader import read_described
from duplexgen.pipeline.errors import DialogueRejected, UserError
from duplexgen.pipeline.layouts.bayling import Bayling, BaylingSection
from duplexgen.pipeline.layouts.described import Described, describe
from duplexgen.pipeline.layouts.shared import STATE_TOKENS, SharedVocabulary
from duplexgen.pipeline.tokens.speech.melvq import MelVQ
from duplexgen.pipeline.tokens.text.bpe import BytePairTokenizer

PLAIN = SharedVocabulary(
    silence=4096,
    assistant=4097,
    pad=4098,
    epad=4099,
    audio_first_id=4100,
    audio_size=2048,
    text_size=4096,
    end_of_text=6148,
)
# as in a tokenizer of tiktoken's format: tokens of its own between the text and the audio, its end among them
OWN_TOKENS = SharedVocabulary(
    silence=1016, assistant=502, pad=1017, epad=1018, audio_first_id=1000, audio_size=16, text_size=500,
    end_of_text=501,
)  # fmt: skip
# as in GPT-2, whose end of text is the last of its text
AMONG_TEXT = SharedVocabulary(
    silence=500, assistant=501, pad=502, epad=503, audio_first_id=504, audio_size=16, text_size=500, end_of_text=499
)
ALL = [PLAIN, OWN_TOKENS, AMONG_TEXT]


def written(vocabulary: SharedVocabulary, sample_rate: int = 16000) -> dict[str, Any]:
    """The vocabulary.json of a layout in such a vocabulary."""

    class Text(BytePairTokenizer):
        vocab_size = vocabulary.text_size

    return describe(vocabulary, BaylingSection(name="bayling"), MelVQ(), Text(), sample_rate, margin_frames=40)


@pytest.mark.parametrize("vocabulary", ALL)
@given(data=st.data())
def test_every_id_is_of_one_kind_and_audio_ids_invert(vocabulary: SharedVocabulary, data: st.DataObject) -> None:
    codes = np.array(data.draw(st.lists(st.integers(0, vocabulary.audio_size - 1))), np.int16)
    ids = vocabulary.audio_ids(codes)
    assert ids.dtype == np.int32 and vocabulary.is_audio(ids).all() and not vocabulary.is_text(ids).any()
    assert not np.isin(ids, list(vocabulary.state.values())).any()
    assert (vocabulary.audio_codes(ids) == codes).all() and vocabulary.audio_codes(ids).dtype == np.int16


@pytest.mark.parametrize("vocabulary", ALL)
def test_kinds_over_all_ids_and_beyond(vocabulary: SharedVocabulary) -> None:
    ids = np.arange(-5, vocabulary.size + 5)
    assert vocabulary.is_audio(ids).sum() == vocabulary.audio_size
    assert vocabulary.is_text(ids).sum() == vocabulary.text_size - (vocabulary is AMONG_TEXT)
    assert not (vocabulary.is_audio(ids) & vocabulary.is_text(ids)).any()
    assert not vocabulary.is_audio(list(vocabulary.state.values())).any()
    assert ids[vocabulary.is_audio(ids)].max() < vocabulary.size
    end = np.array([vocabulary.end_of_text])
    assert not vocabulary.is_text(end) and not vocabulary.is_audio(end) and end < vocabulary.size


def test_errors_name_the_position() -> None:
    with pytest.raises(ValueError, match="4099 at position 2 is not an audio id"):
        PLAIN.audio_codes([4100, 4101, 4099])
    with pytest.raises(ValueError, match=r"-1 at position \(1, 0\)"):
        PLAIN.audio_codes([[4100, 4101], [-1, 4100]])
    with pytest.raises(DialogueRejected, match=r"code_without_id: speech has code 2048: .* ids only for 0 … 2047"):
        PLAIN.audio_ids([0, 2048])


def test_ids_may_not_meet() -> None:
    with pytest.raises(ValueError, match="must not meet"):
        SharedVocabulary(
            silence=10, assistant=11, pad=12, epad=13, audio_first_id=13, audio_size=4, text_size=10, end_of_text=17
        )
    with pytest.raises(ValueError, match="must not meet"):
        SharedVocabulary(
            silence=9, assistant=11, pad=12, epad=13, audio_first_id=14, audio_size=4, text_size=10, end_of_text=18
        )
    with pytest.raises(ValueError, match="must not meet"):
        SharedVocabulary(
            silence=10, assistant=11, pad=12, epad=13, audio_first_id=14, audio_size=4, text_size=10, end_of_text=17
        )


@pytest.mark.parametrize("version", [None, 0, 1, 4, "3", [3]])
def test_another_format_version_is_refused(version: object) -> None:
    with pytest.raises(ValueError, match="format_version"):
        Described.model_validate(written(PLAIN) | {"format_version": version})


@pytest.mark.parametrize("version", [1, 2])
def test_vocabulary_json_of_an_older_format_is_refused_with_what_to_do(tmp_path: Path, version: int) -> None:
    old = written(PLAIN) | {"format_version": version}
    old |= old.pop("ids")
    (tmp_path / "vocabulary.json").write_text(json.dumps(old))
    with pytest.raises(UserError, match=r"(?s)vocabulary\.json.*format_version.* 3.*build the data set again"):
        read_described(tmp_path)


@pytest.fixture(scope="module")
def built() -> SharedVocabulary:
    return SharedVocabulary.build(BaylingSection(), BytePairTokenizer(), MelVQ())


def test_text_then_states_then_audio(built: SharedVocabulary) -> None:
    text = BytePairTokenizer.vocab_size
    assert built.state == {"silence": text, "assistant": text + 1, "pad": text + 2, "epad": text + 3}
    assert built.audio_first_id == text + 4
    assert built.end_of_text == text + 4 + MelVQ.codebook_size == built.size - 1


class Speaking(BytePairTokenizer):
    """Has tokens of its own after its text."""

    own: tuple[str, ...]

    def to_json(self) -> str:
        tokenizer = Tokenizer.from_str(super().to_json())
        tokenizer.add_special_tokens(list(self.own))
        return str(tokenizer.to_str())


STATES = [*STATE_TOKENS.values()]
AUDIO = [f"<|audio_{code}|>" for code in range(MelVQ.codebook_size)]


class AsBaylingReads:
    """What the published inference of BayLing-Duplex asks of a tokenizer when it starts, restated."""

    def __init__(self, vocabulary: SharedVocabulary, most_codes: int = 16384) -> None:
        tokenizer = Tokenizer.from_str(vocabulary.tokenizer_json or "")
        self.states = [tokenizer.token_to_id(token) for token in ("[SILENCE]", "<|assistant|>", "[PAD]", "[EPAD]")]
        assert None not in self.states
        self.audio_start = tokenizer.token_to_id("<|audio_0|>")
        assert self.audio_start is not None
        ids = ((code, tokenizer.token_to_id(f"<|audio_{code}|>")) for code in range(most_codes - 1, -1, -1))
        last, id_ = next((code, id_) for code, id_ in ids if id_ is not None)
        if id_ != self.audio_start + last:
            raise ValueError(f"audio tokens are not contiguous at {last}")
        self.audio_size = last + 1
        self.end = tokenizer.token_to_id("<|endoftext|>")


def speaking(tokens: Sequence[str]) -> BytePairTokenizer:
    """The embedded tokenizer with tokens of its own after its text."""
    text = Speaking()
    text.own = tuple(tokens)
    return text


OTHERS = ["<|endoftext|>", "<|user|>", "<|silence|>", "<|pad|>", "[MASK]", "<|unused|>"]


@st.composite
def own_tokens(draw: st.DrawFn) -> list[str]:
    """Some of our tokens, some of others', in any order but that of the audio tokens, which follow each other."""
    audio = AUDIO[: draw(st.sampled_from([0, 1, 2046, 2047, 2048]))]
    rest = draw(st.lists(st.sampled_from([*STATES, *OTHERS]), unique=True))
    at = draw(st.integers(0, len(rest)))
    return [*rest[:at], *audio, *rest[at:]]


@settings(deadline=None, max_examples=60)
@given(own=own_tokens())
@example(own=[])
@example(own=["<|endoftext|>", "<|user|>", "<|assistant|>", *AUDIO[:-1]])
@example(own=["<|endoftext|>", "<|assistant|>", *AUDIO[:-1], "[SILENCE]", "[PAD]", "[EPAD]"])
def test_the_published_inference_of_bayling_reads_it(own: list[str]) -> None:
    text = speaking(own)
    vocabulary = SharedVocabulary.build(BaylingSection(), text, MelVQ())
    read = AsBaylingReads(vocabulary)
    assert [*vocabulary.state.values()] == read.states and vocabulary.end_of_text == read.end
    assert (vocabulary.audio_first_id, vocabulary.audio_size) == (read.audio_start, read.audio_size)
    before = Tokenizer.from_str(text.to_json()).get_vocab()
    after = Tokenizer.from_str(vocabulary.tokenizer_json or "").get_vocab()
    assert before.items() <= after.items(), "a token that was there keeps its id"
    codes = np.arange(vocabulary.audio_size)
    assert [after[audio] for audio in AUDIO[: len(codes)]] == vocabulary.audio_ids(codes).tolist()
    assert after.keys() - before.keys() <= {*STATES, *AUDIO, "<|endoftext|>"}
    assert len(codes) >= 2047 or own[-1] != AUDIO[len(codes) - 1], "what follows its audio tokens is added"


def test_the_code_that_glm4voice_does_not_name_follows_the_others() -> None:
    vocabulary = SharedVocabulary.build(BaylingSection(), speaking(["<|user|>", "<|assistant|>", *AUDIO[:-1]]), MelVQ())
    assert vocabulary.audio_first_id == 4098 and vocabulary.audio_ids([2047]) == [4098 + 2047]
    assert vocabulary.assistant == 4097 and vocabulary.silence == 4098 + 2048


def test_over_the_states_of_bayling_nothing_is_added_but_an_end() -> None:
    vocabulary = SharedVocabulary.build(
        BaylingSection(), speaking(["<|assistant|>", *AUDIO[:-1], "[EPAD]", "[PAD]", "[SILENCE]"]), MelVQ()
    )
    after = 4097 + 2047
    assert vocabulary.state == {"silence": after + 2, "assistant": 4096, "pad": after + 1, "epad": after}
    assert vocabulary.audio_size == 2047 and vocabulary.end_of_text == after + 3 == vocabulary.size - 1
    with pytest.raises(DialogueRejected, match="code_without_id: speech has code 2047"):
        vocabulary.audio_ids([0, 2047])
    assert not vocabulary.is_audio([after])[0]


@pytest.mark.parametrize("own", [[AUDIO[1]], [AUDIO[1], AUDIO[0]], [AUDIO[0], "[PAD]", AUDIO[1]]])
def test_audio_tokens_in_another_order_are_refused(own: list[str]) -> None:
    with pytest.raises(UserError, match=r"<\|audio_1\|> with the id .*, but audio tokens have to follow each other"):
        SharedVocabulary.build(BaylingSection(), speaking(own), MelVQ())


def test_a_state_among_the_text_is_refused() -> None:
    class Text(Speaking):
        own = ("<|assistant|>",)
        vocab_size = 4097

    with pytest.raises(UserError, match=r"cannot take the token <\|assistant\|>: its id would be 4096"):
        SharedVocabulary.build(BaylingSection(), Text(), MelVQ())


def test_the_saved_folder_names_every_id(built: SharedVocabulary, tmp_path: Path) -> None:
    built.save(tmp_path / "vocabulary")
    tokenizer = Tokenizer.from_file(str(tmp_path / "vocabulary" / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == built.size
    for state, id_ in built.state.items():
        assert tokenizer.token_to_id(STATE_TOKENS[state]) == id_
    codes = np.arange(MelVQ.codebook_size, dtype=np.int16)
    assert [tokenizer.token_to_id(f"<|audio_{code}|>") for code in codes] == built.audio_ids(codes).tolist()
    text = "It's ten past two, and it rains."
    assert tokenizer.encode(text).ids == BytePairTokenizer().encode(text)
    ids = [*BytePairTokenizer().encode(text), built.epad, *built.audio_ids([7])]
    assert tokenizer.decode(ids, skip_special_tokens=False) == text + "[EPAD]<|audio_7|>"
    assert tokenizer.decode(ids) == text


def test_saving_again_gives_the_same_bytes(built: SharedVocabulary, tmp_path: Path) -> None:
    built.save(tmp_path / "once")
    SharedVocabulary.build(BaylingSection(), BytePairTokenizer(), MelVQ()).save(tmp_path / "again")
    names = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert names == ["tokenizer.json", "tokenizer_config.json"]
    assert all((tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_transformers_loads_the_folder(built: SharedVocabulary, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    built.save(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == built.size
    assert tokenizer.convert_tokens_to_ids(["[SILENCE]", "<|audio_2047|>"]) == [built.silence, built.size - 2]
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == built.end_of_text == built.size - 1
    text = "How are you , then ?"
    assert tokenizer(text)["input_ids"] == BytePairTokenizer().encode(text)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("vocabulary", ALL)
def test_vocabulary_json_gives_the_vocabulary_back(vocabulary: SharedVocabulary) -> None:
    description = json.loads(json.dumps(written(vocabulary)))
    described = Described.model_validate(description)
    assert described.vocabulary == vocabulary and described.model_dump(mode="json") == description
    assert described.make_layout() == Bayling(BaylingSection(name="bayling"), vocabulary, 1280)


def test_what_vocabulary_json_says() -> None:
    description = written(PLAIN)
    assert list(description) == [
        "format_version", "layout", "sample_rate", "samples_per_frame", "margin_frames", "channels", "ids",
        "end_of_text", "speech_tokenizer", "text_tokenizer",
    ]  # fmt: skip
    assert (description["format_version"], description["margin_frames"]) == (3, 40)
    assert description["samples_per_frame"] == 1280 and written(PLAIN, 24000)["samples_per_frame"] == 1920
    assert description["layout"] == {"name": "bayling", "user_tokens": 10, "text_tokens": 5, "ast_offset": -1}
    assert description["speech_tokenizer"] == {
        "name": "melvq", "version": "1", "codebooks": 8, "sha256": MelVQ.fingerprint()["sha256"],
    }  # fmt: skip
    with pytest.raises(ValueError, match="a frame of melvq is not a whole number of samples at 11026 Hz"):
        written(PLAIN, 11026)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"layout": {"name": "chess"}}, "expected one of bayling"),
        ({"layout": {"name": "bayling"}}, "not all of it"),
        ({"layout": {"name": ["bayling"]}}, "valid string"),
        ({"channels": ["assistant", "user"]}, "the channels are"),
        ({"ids": written(PLAIN)["ids"] | {"state": {"silence": 1}}}, "the states are"),
        ({"ids": {"audio": {"first_id": 0, "size": 8}}}, r"ids\.state|state\n  Field required"),
        ({"ids": None}, "ids"),
        ({"margin_frames": -1}, "margin_frames"),
        ({"samples_per_frame": 0}, "samples_per_frame"),
        ({"ids": written(PLAIN)["ids"] | {"audio": {"first_id": 0, "size": 8}}}, "must not meet"),
        ({"more": 1}, "more"),
    ],
)
def test_what_describes_no_layout(change: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Described.model_validate(written(PLAIN) | change)


def test_a_vocabulary_that_was_read_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"only a vocabulary made by Vocabulary\.build"):
        PLAIN.save(tmp_path)

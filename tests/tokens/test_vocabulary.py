import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.tokens.bpe import BytePairTokenizer
from duplexgen.pipeline.tokens.melvq import MelVQ
from duplexgen.pipeline.tokens.vocabulary import Vocabulary

PLAIN = Vocabulary(
    silence=4096, assistant=4097, pad=4098, epad=4099, audio_first_id=4100, audio_size=2048, text_size=4096
)
# as in GLM-4-Voice: the last code is named apart, and the id it would have had means something else
EXCEPTION = Vocabulary(
    silence=1016, assistant=500, pad=1017, epad=1018, audio_first_id=1000, audio_size=16, text_size=500,
    audio_exceptions={15: 1019},
)  # fmt: skip


@pytest.mark.parametrize("vocabulary", [PLAIN, EXCEPTION])
@given(data=st.data())
def test_every_id_is_of_one_kind_and_audio_ids_invert(vocabulary: Vocabulary, data: st.DataObject) -> None:
    codes = np.array(data.draw(st.lists(st.integers(0, vocabulary.audio_size - 1))), np.int16)
    ids = vocabulary.audio_ids(codes)
    assert ids.dtype == np.int32 and vocabulary.is_audio(ids).all() and not vocabulary.is_text(ids).any()
    assert not np.isin(ids, list(vocabulary.state.values())).any()
    assert (vocabulary.audio_codes(ids) == codes).all() and vocabulary.audio_codes(ids).dtype == np.int16


@pytest.mark.parametrize("vocabulary", [PLAIN, EXCEPTION])
def test_kinds_over_all_ids_and_beyond(vocabulary: Vocabulary) -> None:
    ids = np.arange(-5, vocabulary.size + 5)
    assert vocabulary.is_audio(ids).sum() == vocabulary.audio_size
    assert vocabulary.is_text(ids).sum() == vocabulary.text_size
    assert not (vocabulary.is_audio(ids) & vocabulary.is_text(ids)).any()
    assert not vocabulary.is_audio(list(vocabulary.state.values())).any()
    assert ids[vocabulary.is_audio(ids)].max() < vocabulary.size


def test_exception_has_its_own_id() -> None:
    assert EXCEPTION.audio_ids([14, 15]).tolist() == [1014, 1019]
    assert not EXCEPTION.is_audio([1015])[0]
    assert EXCEPTION.size == 1020


def test_errors_name_the_position() -> None:
    with pytest.raises(ValueError, match="4099 at position 2 is not an audio id"):
        PLAIN.audio_codes([4100, 4101, 4099])
    with pytest.raises(ValueError, match=r"-1 at position \(1, 0\)"):
        PLAIN.audio_codes([[4100, 4101], [-1, 4100]])
    with pytest.raises(ValueError, match="2048 at position 1 is no code 0 … 2047"):
        PLAIN.audio_ids([0, 2048])


def test_ids_may_not_meet() -> None:
    with pytest.raises(ValueError, match="must not meet"):
        Vocabulary(silence=10, assistant=11, pad=12, epad=13, audio_first_id=13, audio_size=4, text_size=10)
    with pytest.raises(ValueError, match="must not meet"):
        Vocabulary(silence=9, assistant=11, pad=12, epad=13, audio_first_id=14, audio_size=4, text_size=10)
    with pytest.raises(ValueError, match="are not codes"):
        Vocabulary(
            silence=10, assistant=11, pad=12, epad=13, audio_first_id=14, audio_size=4, text_size=10,
            audio_exceptions={4: 20},
        )  # fmt: skip


def test_another_format_version_is_refused() -> None:
    with pytest.raises(ValueError, match="format_version 2, expected 1"):
        Vocabulary.from_json(json.loads('{"format_version": 2}'))


@pytest.fixture(scope="module")
def built() -> Vocabulary:
    return Vocabulary.build(BytePairTokenizer(), MelVQ())


def test_text_then_states_then_audio(built: Vocabulary) -> None:
    text = BytePairTokenizer.vocab_size
    assert built.state == {"silence": text, "assistant": text + 1, "pad": text + 2, "epad": text + 3}
    assert built.audio_first_id == text + 4 and built.size == text + 4 + MelVQ.codebook_size
    assert not built.audio_exceptions


def test_tokens_the_text_tokenizer_has_keep_their_ids() -> None:
    from tokenizers import Tokenizer

    class SpeakingTokenizer(BytePairTokenizer):
        """Has a state token and all but the last speech token, as GLM-4-Voice's has."""

        def to_json(self) -> str:
            tokenizer = Tokenizer.from_str(super().to_json())
            tokenizer.add_special_tokens(["<|assistant|>", *(f"<|audio_{code}|>" for code in range(2047)), "<|other|>"])
            return str(tokenizer.to_str())

    vocabulary = Vocabulary.build(SpeakingTokenizer(), MelVQ())
    assert vocabulary.assistant == 4096 and vocabulary.audio_first_id == 4097
    other = 4097 + 2047
    assert vocabulary.audio_exceptions == {2047: other + 1}
    assert not vocabulary.is_audio([other])[0] and vocabulary.audio_ids([2047]) == [other + 1]
    assert [vocabulary.silence, vocabulary.pad, vocabulary.epad] == [other + 2, other + 3, other + 4]


class Speaking(BytePairTokenizer):
    """Has tokens of its own after its text."""

    own: tuple[str, ...]

    def to_json(self) -> str:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_str(super().to_json())
        tokenizer.add_special_tokens(list(self.own))
        return str(tokenizer.to_str())


def test_the_code_that_glm4voice_does_not_name_follows_the_others() -> None:
    class Text(Speaking):
        own = ("<|user|>", "<|assistant|>", *(f"<|audio_{code}|>" for code in range(2047)))

    vocabulary = Vocabulary.build(Text(), MelVQ())
    assert not vocabulary.audio_exceptions and vocabulary.audio_first_id == 4098
    assert vocabulary.audio_ids([2047]) == [4098 + 2047]
    assert vocabulary.assistant == 4097 and vocabulary.silence == 4098 + 2048


def test_the_states_of_bayling_are_known_by_its_names() -> None:
    class Text(Speaking):
        own = ("<|assistant|>", *(f"<|audio_{code}|>" for code in range(2048)), "[EPAD]", "[PAD]", "[SILENCE]")

    vocabulary = Vocabulary.build(Text(), MelVQ())
    after = 4097 + 2048
    assert vocabulary.state == {"silence": after + 2, "assistant": 4096, "pad": after + 1, "epad": after}
    assert vocabulary.size == after + 3


def test_a_padding_token_alone_is_no_state() -> None:
    class Text(Speaking):
        own = ("[PAD]",)

    assert Vocabulary.build(Text(), MelVQ()).pad != 4096


def test_a_state_among_the_text_is_refused() -> None:
    class Text(Speaking):
        own = ("<|assistant|>",)
        vocab_size = 4097

    with pytest.raises(UserError, match=r"cannot take the token <\|assistant\|>: its id would be 4096"):
        Vocabulary.build(Text(), MelVQ())


def test_the_saved_folder_names_every_id(built: Vocabulary, tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    built.save(tmp_path / "vocabulary")
    tokenizer = Tokenizer.from_file(str(tmp_path / "vocabulary" / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == built.size
    for state, id_ in built.state.items():
        assert tokenizer.token_to_id(f"<|{state}|>") == id_
    codes = np.arange(MelVQ.codebook_size, dtype=np.int16)
    assert [tokenizer.token_to_id(f"<|audio_{code}|>") for code in codes] == built.audio_ids(codes).tolist()
    text = "It's ten past two, and it rains."
    assert tokenizer.encode(text).ids == BytePairTokenizer().encode(text)
    ids = [*BytePairTokenizer().encode(text), built.epad, *built.audio_ids([7])]
    assert tokenizer.decode(ids, skip_special_tokens=False) == text + "<|epad|><|audio_7|>"
    assert tokenizer.decode(ids) == text


def test_saving_again_gives_the_same_bytes(built: Vocabulary, tmp_path: Path) -> None:
    built.save(tmp_path / "once")
    Vocabulary.build(BytePairTokenizer(), MelVQ()).save(tmp_path / "again")
    names = sorted(path.name for path in (tmp_path / "once").iterdir())
    assert names == ["tokenizer.json", "tokenizer_config.json"]
    assert all((tmp_path / "once" / name).read_bytes() == (tmp_path / "again" / name).read_bytes() for name in names)


def test_transformers_loads_the_folder(built: Vocabulary, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    built.save(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert len(tokenizer) == built.size
    assert tokenizer.convert_tokens_to_ids(["<|silence|>", "<|audio_2047|>"]) == [built.silence, built.size - 1]
    text = "How are you , then ?"
    assert tokenizer(text)["input_ids"] == BytePairTokenizer().encode(text)
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


@pytest.mark.parametrize("vocabulary", [PLAIN, EXCEPTION])
def test_vocabulary_json_gives_the_vocabulary_back(vocabulary: Vocabulary) -> None:
    class Text(BytePairTokenizer):
        vocab_size = vocabulary.text_size

    layout = {"name": "bayling", "user_tokens": 10, "text_tokens": 5, "ast_offset": -1}
    description = vocabulary.describe(MelVQ(), Text(), layout, sample_rate=16000)
    assert Vocabulary.from_json(json.loads(json.dumps(description))) == vocabulary
    assert list(description) == [
        "format_version", "layout", "sample_rate", "samples_per_frame", "channels", "state", "audio",
        "speech_tokenizer", "text_tokenizer",
    ]  # fmt: skip
    assert description["samples_per_frame"] == 1280 and description["layout"] == layout
    assert description["speech_tokenizer"] == {
        "name": "melvq", "version": "1", "codebooks": 8, "sha256": MelVQ.fingerprint()["sha256"],
    }  # fmt: skip
    assert vocabulary.describe(MelVQ(), Text(), layout, sample_rate=24000)["samples_per_frame"] == 1920


def test_a_vocabulary_that_was_read_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"only a vocabulary made by Vocabulary\.build"):
        PLAIN.save(tmp_path)

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tokens.vocabulary import Vocabulary

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

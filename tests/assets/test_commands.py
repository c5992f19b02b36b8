"""The commands that make what ships say what they lack."""

from collections.abc import Callable
from pathlib import Path

import pytest

from duplexgen.pipeline.assets import fit_melvq, voice_bank


@pytest.mark.parametrize("main", [fit_melvq.main, voice_bank.main], ids=["fit_melvq", "voice_bank"])
def test_speak_asks_for_the_tables_of_voices(
    main: Callable[[], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["command", "speak", "--work", str(tmp_path / "work")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2 and "speak needs --tables" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []

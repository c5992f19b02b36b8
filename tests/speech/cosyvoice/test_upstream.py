import logging
import random
import sys

import numpy as np
import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.speech.cosyvoice.upstream import Code, contained, versions


def clone(path, submodule=True):
    (path / "cosyvoice" / "cli").mkdir(parents=True)
    (path / "cosyvoice" / "__init__.py").write_text("a = 1\n")
    matcha = path / "third_party" / "Matcha-TTS" / "matcha"
    if submodule:
        matcha.mkdir(parents=True)
        (matcha / "__init__.py").write_text("")
    return path


def test_a_clone_is_found_and_known_by_its_contents(tmp_path):
    one, other = Code.find(str(clone(tmp_path / "one"))), Code.find(str(clone(tmp_path / "other")))
    assert one.cosyvoice.parent.name == "one"
    assert one.checksum() == other.checksum()
    (tmp_path / "other" / "cosyvoice" / "cli" / "model.py").write_text("b = 2\n")
    assert one.checksum() != other.checksum()


def test_what_is_no_clone_is_refused(tmp_path):
    with pytest.raises(UserError, match="cosyvoice/cli"):
        Code.find(str(tmp_path))


def test_a_clone_without_its_submodule_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("duplexgen.pipeline.speech.cosyvoice.upstream.find_spec", lambda name: None)
    with pytest.raises(UserError, match="submodule update --init"):
        Code.find(str(clone(tmp_path / "bare", submodule=False)))
    with pytest.raises(UserError, match=r"duplexgen\[cosyvoice\]"):
        Code.find(None)


def test_one_process_has_one_code(tmp_path, monkeypatch):
    one, other = Code.find(str(clone(tmp_path / "one"))), Code.find(str(clone(tmp_path / "other")))
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in [name for name in sys.modules if name.split(".")[0] in ("cosyvoice", "matcha")]:
        monkeypatch.delitem(sys.modules, name)
    one.make_importable()
    import cosyvoice

    assert cosyvoice.a == 1
    one.make_importable()
    with pytest.raises(UserError, match="loaded already"):
        other.make_importable()
    for name in ("cosyvoice", "matcha"):
        sys.modules.pop(name, None)


def test_version_3_names_one_package_more():
    pytest.importorskip("x_transformers", reason="x-transformers comes with the extra `cosyvoice`")
    assert set(versions(3)) - set(versions(2)) == {"x-transformers"}


def test_the_process_is_left_as_it_was(capsys):
    torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    before = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()
    with pytest.raises(ZeroDivisionError), contained():
        root.setLevel(level + 5)
        root.addHandler(logging.NullHandler())
        random.seed(7)
        np.random.seed(7)
        torch.manual_seed(7)
        print("chatter")
        raise ZeroDivisionError
    assert (root.level, root.handlers) == (level, handlers)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()) == before
    assert capsys.readouterr().out == ""

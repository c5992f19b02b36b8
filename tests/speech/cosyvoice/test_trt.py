"""What TensorRT needs and where its engines go. Making and running one takes a GPU, which these tests do without."""

import inspect
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch comes with the extra `train`")

from platformdirs import user_cache_path  # noqa: E402

from duplexgen.pipeline.errors import UserError  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice import trt  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.engine import CosyVoiceEngine  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.folder import ESTIMATOR, ModelFolder  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.parts import load  # noqa: E402
from duplexgen.pipeline.speech.cosyvoice.upstream import Code  # noqa: E402
from duplexgen.pipeline.speech.guard import BadSpeechError  # noqa: E402
from tests.speech.cosyvoice.conftest import spec  # noqa: E402

SHAPES = {"max_shape": [(2, 80, 3000)], "input_names": ["x"]}


@pytest.fixture
def with_package(tmp_path, monkeypatch):
    """An installation as pip leaves it behind, of nothing."""
    if find_spec("tensorrt"):
        pytest.skip("the real package is installed")
    site = tmp_path / "site"
    (site / "tensorrt").mkdir(parents=True)
    (site / "tensorrt" / "__init__.py").write_text("")
    info = site / "tensorrt_cu12-10.13.3.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tensorrt_cu12\nVersion: 10.13.3\n")
    (info / "top_level.txt").write_text("tensorrt\n")
    monkeypatch.syspath_prepend(site)


@pytest.fixture
def with_estimator(folder_of, tmp_path):
    shutil.copytree(folder_of(2), tmp_path / "model")
    (tmp_path / "model" / ESTIMATOR).write_bytes(str(tmp_path).encode())  # of this test alone, as its engine
    return ModelFolder.read(tmp_path / "model")


def test_the_package_has_a_version_under_any_name(with_package):
    assert trt.installed_version() == "10.13.3"


def test_an_engine_is_known_by_all_it_is_made_of(with_package, tmp_path):
    onnx, other = tmp_path / "one.onnx", tmp_path / "other.onnx"
    onnx.write_bytes(b"1")
    other.write_bytes(b"2")
    files = {
        trt.engine_file(onnx, SHAPES, False, "H100"),
        trt.engine_file(other, SHAPES, False, "H100"),
        trt.engine_file(onnx, {**SHAPES, "max_shape": [(2, 80, 2000)]}, False, "H100"),
        trt.engine_file(onnx, SHAPES, True, "H100"),
        trt.engine_file(onnx, SHAPES, False, "L20"),
    }
    assert len(files) == 5
    assert {file.parent for file in files} == {user_cache_path("duplexgen") / "tensorrt"}


def test_check_names_what_is_missing(folder_of, bank, code):
    def problems(**fields):
        return CosyVoiceEngine(spec(folder_of(2), bank, tensorrt=True, **fields)).check()

    assert [location[-1] for location, _ in problems()] == ["tensorrt"]
    assert "num_gpus" in problems()[0][1]
    if not find_spec("tensorrt"):
        assert "pip install tensorrt" in problems(num_gpus=1.0)[0][1]


def test_check_names_the_file_and_then_is_content(folder_of, bank, code, with_package, with_estimator):
    without = CosyVoiceEngine(spec(folder_of(2), bank, tensorrt=True, num_gpus=1.0))
    assert [location[-1] for location, _ in without.check()] == ["tensorrt"]
    assert ESTIMATOR in without.check()[0][1]
    engine = CosyVoiceEngine(spec(with_estimator.path, bank, tensorrt=True, num_gpus=1.0))
    assert engine.check() == []
    plain = CosyVoiceEngine(spec(with_estimator.path, bank, num_gpus=1.0)).fingerprint()
    assert {key: value for key, value in engine.fingerprint().items() if key in plain} == plain
    assert engine.fingerprint()["tensorrt"] == "10.13.3"


def test_code_that_offers_something_else_is_named(code, with_package, with_estimator, tmp_path):
    trt.check(with_estimator, code)
    shutil.copytree(code.cosyvoice, tmp_path / "old" / "cosyvoice")
    model = tmp_path / "old" / "cosyvoice" / "cli" / "model.py"
    model.write_text(model.read_text().replace("trt_concurrent, fp16):", "fp16):"))
    with pytest.raises(UserError, match=r"load_trt of \(self, .*trt_concurrent, fp16\).* has one of .*_model, fp16\)"):
        trt.check(with_estimator, Code(tmp_path / "old" / "cosyvoice", code.matcha))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_upstream_is_asked_as_it_wants_to_be(code, with_package, with_estimator, monkeypatch, precision):
    """Its own `load_trt` is run, up to where it wants a GPU; only the making of the engine is left out."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU, on which an empty engine fails otherwise")
    from cosyvoice.utils import file_utils

    parts = load(with_estimator, code, torch.device("cpu"), precision)
    signature, asked = inspect.signature(file_utils.convert_onnx_to_trt), []

    def convert(*given, **named):
        asked.append(signature.bind(*given, **named).arguments)
        Path(asked[-1]["trt_model"]).write_bytes(b"engine")

    monkeypatch.setattr(file_utils, "convert_onnx_to_trt", convert)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    before = sorted(path.name for path in with_estimator.path.iterdir())
    for _ in range(2):
        with pytest.raises(UserError, match="only supports gpu"):
            trt.speed_up(parts, with_estimator, code)
    assert len(asked) == 1  # the second time it is there
    assert asked[0]["fp16"] is False
    assert asked[0]["onnx_model"] == str(with_estimator.estimator)
    assert asked[0]["trt_kwargs"]["input_names"] == ["x", "mask", "mu", "cond"]
    made = trt.engine_file(with_estimator.estimator, asked[0]["trt_kwargs"], False, "a GPU")
    assert made.read_bytes() == b"engine"
    assert sorted(path.name for path in with_estimator.path.iterdir()) == before


def test_the_engine_is_given_its_own_precision_and_no_more_than_it_takes():
    types = []

    def forward(*given, streaming):
        types.extend(value.dtype for value in given)
        return given[0] + 1

    estimator = trt._Estimator(forward, torch.float16, 10)
    inputs = [torch.ones(2, 80, 10), *(torch.ones(2, dtype=torch.bfloat16) for _ in range(5))]
    found = estimator(*inputs, streaming=False)
    assert found.dtype == torch.float32
    assert torch.equal(found, inputs[0] + 1)
    assert set(types) == {torch.float16}
    with pytest.raises(BadSpeechError, match="11 mel frames"):
        estimator(torch.ones(2, 80, 11), streaming=False)

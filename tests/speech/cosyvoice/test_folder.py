import json
import zipfile

import pytest

from duplexgen.pipeline.errors import UserError
from duplexgen.pipeline.speech.cosyvoice.folder import ModelFolder
from tests.speech.cosyvoice.configurations import NAMES, RATE_HZ


def make(path, version):
    """Every file in its place; none of them holds weights."""
    path.mkdir()
    (path / NAMES[version]).write_text(f"sample_rate: {RATE_HZ[version]}\nllm: !new:some.Thing\n    a: 1\n")
    for name in ("llm.pt", "flow.pt", "hift.pt"):
        with zipfile.ZipFile(path / name, "w") as archive:
            archive.writestr(zipfile.ZipInfo("data.pkl"), name * 100)  # without the time of day
    for name in ("campplus.onnx", f"speech_tokenizer_v{version}.onnx"):
        (path / name).write_bytes(b"onnx")
    if version > 1:
        qwen = path / "CosyVoice-BlankEN"
        qwen.mkdir()
        for name in ("config.json", "tokenizer_config.json", "vocab.json", "merges.txt"):
            (qwen / name).write_text("{}")
        header = json.dumps({"weight": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
        (qwen / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(16))
    return path


@pytest.mark.parametrize("version", [1, 2, 3])
def test_tells_the_version_and_the_rate(tmp_path, version):
    folder = ModelFolder.read(make(tmp_path / "model", version))
    assert (folder.version, folder.sample_rate) == (version, RATE_HZ[version])
    assert folder.speech_tokenizer in folder.files


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("flow.pt", None, "is missing"),
        ("campplus.onnx", b"", "is empty"),
        ("hift.pt", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "Git LFS"),
        ("llm.pt", b"PK\x03\x04 half of it", "cut off"),
        ("CosyVoice-BlankEN/config.json", None, "is missing"),
        ("CosyVoice-BlankEN/merges.txt", None, "is missing"),
        ("CosyVoice-BlankEN/model.safetensors", None, "is missing"),
        ("CosyVoice-BlankEN/model.safetensors", (99).to_bytes(8, "little") + b'{"w', "cut off"),
    ],
)
def test_half_a_folder_is_named_with_its_file(tmp_path, file, content, says):
    path = make(tmp_path / "model", 2)
    (path / file).unlink()
    if content is not None:
        (path / file).write_bytes(content)
    with pytest.raises(UserError, match=says) as error:
        ModelFolder.read(path)
    assert str(path / file) in str(error.value)


def test_a_truncated_safetensors_file_is_found(tmp_path):
    path = make(tmp_path / "model", 3) / "CosyVoice-BlankEN" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(UserError, match="cut off"):
        ModelFolder.read(tmp_path / "model")


def test_what_is_no_model_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        ModelFolder.read(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"cosyvoice2\.yaml"):
        ModelFolder.read(tmp_path)
    both = make(tmp_path / "both", 2)
    (both / NAMES[1]).write_text("")
    with pytest.raises(UserError, match=r"cosyvoice\.yaml and cosyvoice2\.yaml"):
        ModelFolder.read(both)


def test_the_checksum_knows_contents_alone(tmp_path):
    one, other = make(tmp_path / "one", 2), make(tmp_path / "other", 2)
    assert ModelFolder.read(one).checksum() == ModelFolder.read(other).checksum()
    (other / "CosyVoice-BlankEN" / "tokenizer_config.json").write_text('{"a": 1}')
    assert ModelFolder.read(one).checksum() != ModelFolder.read(other).checksum()
    (one / ".cache").mkdir()
    (one / "README.md").write_text("not read")
    assert ModelFolder.read(one).checksum() == ModelFolder.read(make(tmp_path / "third", 2)).checksum()

"""Files of models are read as far as any such file goes, and nothing that never ends is opened."""

import json
import math
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from duplexgen.pipeline.storage.model_files import check_numbers, read_json_object, stored_tensors, tensor_shapes


def test_what_is_no_plain_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    for name in ("pipe", "zero", "folder", "none"):
        with pytest.raises(ValueError, match=rf"{name} cannot be read: (it is not a plain file|No such file|Is a dir)"):
            read_json_object(tmp_path / name)


def test_a_file_larger_than_any_is(tmp_path: Path) -> None:
    (tmp_path / "large").write_text('{"a": 1}')
    assert read_json_object(tmp_path / "large", largest_bytes=8) == {"a": 1}
    with pytest.raises(ValueError, match="large cannot be read: it has 8 bytes, expected at most 7"):
        read_json_object(tmp_path / "large", largest_bytes=7)


def test_infinities_are_read_as_mamba_2_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"time_step_limit": [0.0, Infinity], "lowest": {"x": -Infinity}}')
    config = read_json_object(path)
    assert config == {"time_step_limit": [0.0, math.inf], "lowest": {"x": -math.inf}}
    check_numbers(config, path, infinite=True)
    with pytest.raises(ValueError, match=r"expected a finite number, got -?inf"):
        check_numbers(config, path)
    with pytest.raises(ValueError, match=r"^x: expected a finite number, got nan"):
        check_numbers({"x": math.nan}, infinite=True)


@pytest.mark.parametrize("number", ["NaN", "1e400", "-1e400", "infinity", "inf", "nan", "Infinity0"])
def test_what_is_no_number_is_refused(tmp_path: Path, number: str) -> None:
    (tmp_path / "config.json").write_text(f'{{"a": [{number}]}}')
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        read_json_object(tmp_path / "config.json")


def test_where_tensors_are_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    tensors = {"b": torch.arange(6, dtype=torch.float32).reshape(2, 3), "a": torch.ones(5, dtype=torch.bfloat16)}
    save_file(tensors, path, {"format": "pt"})
    found = stored_tensors(path)
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in found.items()} == {
        "a": ("BF16", (5,)),
        "b": ("F32", (2, 3)),
    }
    content = path.read_bytes()
    for name, tensor in tensors.items():
        stored = content[found[name].start : found[name].end]
        assert stored == tensor.view(torch.uint8).numpy().tobytes()
    assert tensor_shapes(path) == {"a": (5,), "b": (2, 3)}


@pytest.mark.parametrize("offsets", [[-8, 0], [4, 0], [0, 9], ["x", 1], [0], 3])
def test_a_header_that_points_nowhere(tmp_path: Path, offsets: object) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": offsets}}).encode()
    (tmp_path / "model").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(ValueError, match=r"model (is not a safetensors file|has .* bytes and its header says)"):
        stored_tensors(tmp_path / "model")

"""Model folders as they are published: their version, and whether they are whole."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from ...errors import UserError
from ...recipe.yaml_file import compose
from ...storage.model_files import folder_checksum, incomplete
from ...storage.paths import read_text, shortened

CONFIGURATIONS = {"cosyvoice.yaml": 1, "cosyvoice2.yaml": 2, "cosyvoice3.yaml": 3}
WEIGHTS = ("llm.pt", "flow.pt", "hift.pt")
SPEAKER = "campplus.onnx"
QWEN = "CosyVoice-BlankEN"
GET = "Download the folder again, as a whole, from https://huggingface.co/FunAudioLLM"


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder with all files of a CosyVoice model."""

    path: Path
    configuration: str  # the file that says which version it is
    version: int  # 1, 2, 3

    @classmethod
    def read(cls, path: Path) -> "ModelFolder":
        """Raises UserError if this is not a CosyVoice folder, or not a whole one."""
        if not path.is_dir():
            raise UserError(f"{path} is not a folder: expected a CosyVoice model. {GET}")
        present = [name for name in CONFIGURATIONS if (path / name).is_file()]
        if len(present) != 1:
            expected = f"expected one of {', '.join(CONFIGURATIONS)}, found {' and '.join(present) or 'none'}"
            raise UserError(f"{path} is not a CosyVoice model: {expected}. {GET}")
        folder = cls(path, present[0], CONFIGURATIONS[present[0]])
        for name in folder.files:
            if problem := incomplete(path / name):
                raise UserError(f"{path / name} {problem}. {GET}")
        return folder

    @property
    def speech_tokenizer(self) -> str:
        return f"speech_tokenizer_v{self.version}.onnx"

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that shapes the speech, by its name in the folder."""
        qwen = self.path / QWEN
        inner = (
            sorted(p.relative_to(self.path).as_posix() for p in qwen.rglob("*") if p.is_file())
            if self.version > 1
            else []
        )
        needed = [f"{QWEN}/{name}" for name in self._of_qwen] if self.version > 1 else []
        inner = [name for name in inner if not Path(name).name.startswith(".")]
        return (self.configuration, *WEIGHTS, SPEAKER, self.speech_tokenizer, *dict.fromkeys(needed + inner))

    @property
    def _of_qwen(self) -> tuple[str, ...]:
        """Files of Qwen. The loader needs its weights, though those of llm.pt replace them."""
        whole = (self.path / QWEN / "tokenizer.json").is_file()
        vocabulary = ("tokenizer.json",) if whole else ("vocab.json", "merges.txt")
        return ("config.json", "tokenizer_config.json", *vocabulary, "model.safetensors")

    def checksum(self) -> str:
        """sha256 over `files`."""
        return folder_checksum(self.path, self.files)

    @property
    def sample_rate(self) -> int:
        """Hz, of the speech."""
        value = _scalar(self.path / self.configuration, "sample_rate")
        if not (value.isdecimal() and len(value) < 8 and int(value) > 0):
            raise UserError(
                f"{self.path / self.configuration}: sample_rate is {shortened(value)!r}, expected a number of Hz. {GET}"
            )
        return int(value)


def _scalar(path: Path, key: str) -> str:
    """A plain value at the top of a configuration, read without building anything."""
    try:
        root = compose(read_text(path), path)
    except UserError as error:
        raise UserError(f"{error}. {GET}") from error
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    return next((str(node.value) for name, node in pairs if name.value == key), "")

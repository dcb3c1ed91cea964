"""Language models of texts, by the real command.   pytest tests/pretraining"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from torch.nn import functional as F
from transformers import DataCollatorForLanguageModeling, GPT2Tokenizer

from hf_spam import DataArguments, SpamGPTConfig, SpamGPTForCausalLM, UserError, load_splits
from hf_spam.pretraining.language_modeling import mean_loss
from hf_spam.pretraining.rows import read_texts, to_rows

Run = Callable[..., tuple[int, str, str]]
TINY = ["--weights", "random", "--model_size", "tiny", "--context_length", "64", "--disable_tqdm", "true"]
RECIPE = [*TINY, "--max_steps", "30", "--learning_rate", "1e-2"]


@given(texts=st.lists(st.text(max_size=80), min_size=1, max_size=5), length=st.integers(2, 20))
def test_rows_hold_every_token_once(tokenizer: GPT2Tokenizer, texts: list[str], length: int) -> None:
    """Each row begins with the end of a text; nothing is cut, only divided."""
    expected = [id_ for text in texts for id_ in tokenizer(text)["input_ids"]]
    if not expected:
        with pytest.raises(UserError, match="found only empty ones"):
            to_rows(texts, tokenizer, length)
        return
    rows = to_rows(texts, tokenizer, length)["input_ids"][:]
    assert all(1 < len(row) <= length and row[0] == tokenizer.eos_token_id for row in rows)
    assert [id_ for row in rows for id_ in row[1:]] == expected


def test_the_loss_is_a_mean_over_tokens(tokenizer: GPT2Tokenizer) -> None:
    """Whatever the batches: each row by itself, without padding, gives the same."""
    torch.manual_seed(1)
    model = SpamGPTForCausalLM(SpamGPTConfig(emb_dim=32, n_heads=2, n_layers=1, context_length=64)).eval()
    rows = to_rows(["hello", "a much longer text, which fills its batch", "and a third"], tokenizer, 64)
    total, count = 0.0, 0
    for ids in rows["input_ids"][:]:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, :-1]
        total += float(F.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum"))
        count += len(ids) - 1
    collator = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    for batch in (1, 2, 3):
        assert mean_loss(model, collator, rows, batch) == pytest.approx(total / count, rel=1e-5)


@pytest.mark.slow  # ten seconds of GPT-2's vocabulary; test_readmes.py has the commands, slow, too
def test_a_classifier_starts_from_it(
    run: Run, few_messages: Path, tokenizer: GPT2Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It learns from the training split alone; its body is the classifier's, and its own head is left out."""
    monkeypatch.chdir(tmp_path)
    code, out, err = run("pretrain", *RECIPE, "--data_file", few_messages, "--output_dir", "lm")
    assert code == 0, err
    splits = load_splits(DataArguments(data_file=[str(few_messages)]))
    assert f"texts  {len(splits['train']):,} to learn from, {len(splits['validation']):,} held out" in out
    record = json.loads(Path("lm/metrics.json").read_text())["pretraining"]
    rows = to_rows(splits["train"]["text"][:], tokenizer, 64)["input_ids"][:]
    assert (record["rows"], record["tokens"]) == (len(rows), sum(map(len, rows)))
    assert record["loss"] < 9.5  # of random weights: 10.8, the logarithm of the vocabulary's size
    assert f"loss {record['loss']:.3f} a token" in out
    assert run("verify", "lm")[0] == 0

    still = ["--trainable", "last_layer", "--max_steps", "1", "--eval_freq", "0"]
    code, out, err = run("train", "--data_file", few_messages, "--weights", "lm", *still, "--output_dir", "run")
    assert code == 0, err
    assert "of a run of ours: its head over the vocabulary is left out" in out
    before, after = (load_file(f"{folder}/model.safetensors") for folder in ("lm", "run"))
    body = [name for name in after if name.startswith("model.")]
    assert len(body) > 10
    assert all(torch.equal(before[name], after[name]) for name in body if "final_norm" not in name)

    code, _, err = run("pretrain", *RECIPE, "--data_file", few_messages, "--output_dir", "lm")
    assert code == 2
    assert "lm: holds a run already" in err


def test_texts_without_labels(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every twentieth is held out; too few are refused before a model is made."""
    monkeypatch.chdir(tmp_path)
    Path("texts.txt").write_text("".join(f"This is line number {number}\n" for number in range(60)))
    learned, held_out = read_texts(["texts.txt"])
    assert held_out == [f"This is line number {number}" for number in (19, 39, 59)]
    assert len(learned) == 57
    options = [*TINY, "--max_steps", "2", "--global_batch_size", "4", "--texts", "texts.txt", "--output_dir", "lm"]
    code, out, err = run("pretrain", *options)
    assert code == 0, err
    assert "texts  57 to learn from, 3 held out" in out
    Path("one.txt").write_text("alone\n")
    code, _, err = run("pretrain", *options[:-4], "--texts", "one.txt", "--output_dir", "other")
    assert code == 2
    assert "one.txt: expected texts to train on, found 1" in err
    assert not Path("other").exists()

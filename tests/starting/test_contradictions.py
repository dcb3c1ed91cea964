"""Options that make no sense together are refused in one line, before anything is read.

pytest tests/starting/test_contradictions.py
"""

import pytest

from hf_spam.commands import train
from hf_spam.errors import UserError

TABLE = {
    "--pooling cls": "argument --pooling: invalid choice: 'cls'",
    "--pad_to context": "--pad_to: expected --pooling last_position or mean_positions, found last_token, which reads no padding",
    "--pad_to longest --pooling mean": "found mean, which reads no padding",
    "--pad_to context --pooling last_position --max_length 64": "--pad_to: expected no --max_length, which says how long",
    "--ignore_index 1": "--ignore_index: expected a number that is no label's id, below 0 or at least 10,000, found 1",
    "--ignore_index 50256 --balance focal": "--ignore_index: expected the plain loss, found --balance focal",
    "--ignore_index 50256 --balance class_weights": "--ignore_index: expected the plain loss, found --balance class_weights",
    "--trainable last_0_blocks": "--trainable: expected one of last_layer, last_block, last_two_blocks, last_N_blocks",
    "--trainable first_block": "--trainable: expected one of last_layer, last_block",
    "--trainable last_3_blocks --model_size tiny": "expected at most the 2 blocks that the model has, found last_3_blocks",
    "--prefix_cache on --trainable all": "--prefix_cache on: cannot be made: every block trains.",
    "--prefix_cache on --drop_rate 0.1": "--prefix_cache on: cannot be made: dropout (0.1) changes",
    "--prefix_cache on --preset quickstart": "--prefix_cache on: cannot be made: every block trains.",
    "--global_batch_size 8 --gradient_accumulation_steps 3": "--global_batch_size: expected a number that 1 processes can",
    "--train_fraction 0.9 --validation_fraction 0.1": "expected fractions that are below 1 together",
    "--data_source sample --data_file a.csv": "expected one of --data_source",
    "--causal maybe": "--causal",
    "--lora_rank 4": "--lora_rank: expected with --trainable lora, found --trainable last_block",
    "--trainable all --lora_target_modules W_query": "--lora_target_modules: expected with --trainable lora, found",
}


@pytest.mark.parametrize("words", TABLE)
def test_refused(words: str) -> None:
    with pytest.raises(UserError) as refused:
        train.make_job(train.parse(words.split()))
    assert TABLE[words] in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "words",
    [
        "--pooling mean_positions --pad_to context --causal false --trainable last_12_blocks",
        "--pooling last_position --max_length 64 --ignore_index 50256",
        "--preset appendix_d --trainable last_2_blocks --model_size tiny",
        "--pooling mean --global_batch_size 8 --gradient_accumulation_steps 8",
    ],
)
def test_accepted(words: str) -> None:
    train.make_job(train.parse(words.split()))

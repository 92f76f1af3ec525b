"""A model of transformers as the writer: one made here, with random weights."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from comc_utils.cli import main
from comc_utils.clip.torchvision_ops import ensure_torchvision_imports
from comc_utils.errors import CoMCError
from comc_utils.sentences import comc_instruction
from comc_utils.sentences.llm.local_model import LocalModel

PROMPTS = [comc_instruction(["dog"]), comc_instruction(["cat", "potted plant", "tv monitor"])]
TEMPLATE = "{% for m in messages %}<user> {{ m['content'] }} {% endfor %}<answer>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a GPT-2 of two layers with a vocabulary of our own, saved as transformers does."""
    ensure_torchvision_imports()
    tokenizers = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE(unk_token="<unk>"))
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel()
    bpe.decoder = tokenizers.decoders.ByteLevel()
    special = ["<unk>", "<end>", "<user>", "<answer>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=special,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(PROMPTS, trainer)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, unk_token="<unk>", eos_token="<end>", chat_template=TEMPLATE
    )
    folder = tmp_path_factory.mktemp("models") / "tiny-gpt2"
    tokenizer.save_pretrained(folder)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_layer=2,
        n_head=2,
        n_embd=32,
        n_positions=256,
        bos_token_id=1,
        eos_token_id=1,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_answers_are_what_the_model_goes_on_with(folder: Path) -> None:
    model = LocalModel(str(folder), max_tokens=12, temperature=0, device="cpu")
    assert model.name == "tiny-gpt2"
    assert model.settings == {"style": "chat", "max_tokens": 12, "temperature": 0}
    (answer,) = model.ask(PROMPTS[:1], seeds=[0])
    # By hand: the likeliest token, twelve times or until the end.
    ids = model._tokenizer.encode(f"<user> {PROMPTS[0]} <answer>", add_special_tokens=False)
    n_prompt = len(ids)
    while len(ids) < n_prompt + 12 and ids[-1] != model._tokenizer.eos_token_id:
        with torch.inference_mode():
            ids.append(int(model._model(torch.tensor([ids])).logits[0, -1].argmax()))
    assert answer.text == model._tokenizer.decode(ids[n_prompt:], skip_special_tokens=True)
    assert "contains" not in answer.text
    assert (answer.stopped_by, answer.tokens) == ("length", n_prompt + 12)


def test_batch_gives_what_single_prompts_give(folder: Path) -> None:
    model = LocalModel(str(folder), max_tokens=8, temperature=0, device="cpu")
    together = model.ask(PROMPTS, seeds=[0, 1])
    assert together == [model.ask([prompt], seeds=[0])[0] for prompt in PROMPTS]


def test_sampling_is_fixed_by_the_seed_and_leaves_ours_alone(folder: Path) -> None:
    model = LocalModel(str(folder), max_tokens=8, temperature=1.0, device="cpu")
    state = torch.get_rng_state()
    first = model.ask(PROMPTS, seeds=[1, 2])
    assert torch.equal(torch.get_rng_state(), state)
    assert model.ask(PROMPTS, seeds=[1, 2]) == first
    assert model.ask(PROMPTS, seeds=[3, 4]) != first
    assert first[0].text != model.ask(PROMPTS[:1], seeds=[5])[0].text


def test_completion_has_no_template(folder: Path) -> None:
    chat, completion = (
        LocalModel(str(folder), style=style, max_tokens=4, temperature=0, device="cpu")
        for style in ("chat", "completion")
    )
    (asked,) = chat.ask(PROMPTS[:1], seeds=[0])
    (continued,) = completion.ask(PROMPTS[:1], seeds=[0])
    assert asked.tokens > continued.tokens
    n_prompt = len(completion._tokenizer.encode(PROMPTS[0]))
    assert continued.tokens == n_prompt + 4


def test_end_token_ends_the_answer(folder: Path) -> None:
    model = LocalModel(str(folder), max_tokens=8, temperature=0, device="cpu")
    (long,) = model.ask(PROMPTS[:1], seeds=[0])
    # Whatever the model says first is from now on its end.
    ids = model._tokenizer.encode(f"<user> {PROMPTS[0]} <answer>", add_special_tokens=False)
    with torch.inference_mode():
        first = int(model._model(torch.tensor([ids])).logits[0, -1].argmax())
    model._model.generation_config.eos_token_id = [first, 1]
    (short,) = model.ask(PROMPTS[:1], seeds=[0])
    assert (short.text, short.stopped_by, short.tokens) == ("", "stop", len(ids))
    assert long.stopped_by == "length"


def test_command_writes_and_goes_on(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "corpus.jsonl"
    command = ["write-sentences", "--labels", "voc2007", "--local", str(folder), "--to", str(path)]
    command += ["--max-tokens", "12", "--batch-size", "4", "--device", "cpu", "--temperature", "1"]
    # Random weights write no sentence: what counts is that each answer is kept and told of.
    assert main([*command, "--sentences", "6"]) == 2
    error = capsys.readouterr().err
    assert "None of the 6 answers" in error
    text = (tmp_path / "corpus.answers.jsonl").read_text(encoding="utf-8")
    head, *lines = text.split("\n")[:-1]
    assert json.loads(head)["model"] == "tiny-gpt2"
    assert str(folder) not in text
    assert [json.loads(line)["index"] for line in lines] == list(range(6))
    assert main([*command, "--sentences", "9", "--max-requests", "8"]) == 0
    assert "The budget of requests is spent: 6 of 9" in capsys.readouterr().out
    assert main([*command, "--sentences", "9"]) == 2
    lines = (tmp_path / "corpus.answers.jsonl").read_text(encoding="utf-8").split("\n")[1:-1]
    assert [json.loads(line)["index"] for line in lines] == list(range(9))


def test_model_that_does_not_load(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CoMCError, match="does not load.*give a folder with its files") as caught:
        LocalModel(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"style": "talk"}, "Unknown style 'talk'"),
        ({"max_tokens": 0}, "0 tokens an answer"),
        ({"batch_size": 0}, "0 instructions at once"),
    ],
)
def test_wrong_arguments(folder: Path, arguments: dict, message: str) -> None:
    with pytest.raises(CoMCError, match=message):
        LocalModel(str(folder), **arguments)


def test_missing_extra_is_said() -> None:
    code = (
        "import sys\nsys.modules['transformers'] = None\n"
        "from comc_utils.cli import main\n"
        "sys.exit(main(['write-sentences', '--labels', 'voc2007', '--local', 'x', '--to', 'c.jsonl']))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 2
    assert "error: Language models on this machine need transformers" in ended.stderr
    assert "pip install transformers" in ended.stderr

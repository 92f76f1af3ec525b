"""Language models on this machine, by transformers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

from comc_utils.clip.torchvision_ops import ensure_torchvision_imports
from comc_utils.errors import CoMCError
from comc_utils.sentences.llm.answers import Answer


class LocalModel:
    """A causal language model of transformers.

    Parameters
    ----------
    name_or_path : str
        Name on the Hugging Face hub, or a folder with model and tokenizer.
    style : {"chat", "completion"}
        With "chat" the instruction goes through the tokenizer's chat template, where it has one.
    max_tokens : int
        Most tokens of an answer.
    temperature : float, optional
        0 takes the likeliest token each time; None leaves sampling as the model's own configuration
        has it.
    batch_size : int
        Instructions at once. With sampling, answers depend on it.
    device : str or torch.device, optional
        By default a GPU where there is one.

    Raises
    ------
    CoMCError
        transformers is not installed, or the model does not load.
    """

    concurrency = 1

    def __init__(
        self,
        name_or_path: str,
        *,
        style: Literal["chat", "completion"] = "chat",
        max_tokens: int = 40,
        temperature: float | None = None,
        batch_size: int = 8,
        device: str | torch.device | None = None,
    ) -> None:
        # transformers imports torchvision where it finds it.
        ensure_torchvision_imports()
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
        except ImportError:
            raise CoMCError(
                "Language models on this machine need transformers: pip install transformers"
            ) from None
        if style not in ("chat", "completion"):
            raise CoMCError(f"Unknown style {style!r} of the model; choose chat or completion.")
        if max_tokens < 1 or batch_size < 1:
            raise CoMCError(
                f"{max_tokens} tokens an answer and {batch_size} instructions at once were asked for; ask for "
                "1 or more of each."
            )
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(name_or_path)
            self._model = AutoModelForCausalLM.from_pretrained(name_or_path, dtype="auto")
            self._model = self._model.to(device).eval()
        # The hub's client, safetensors and a model's own code raise exceptions of many kinds.
        except Exception as error:
            raise CoMCError(
                f"The language model {name_or_path!r} does not load ({type(error).__name__}: "
                f"{str(error).splitlines()[0] if str(error) else ''}); give a folder with its files, or "
                "its name on the hub."
            ) from None
        # Not the folder's path, which means nothing elsewhere.
        is_folder = Path(name_or_path).is_dir()
        self.name = Path(name_or_path).resolve().name if is_folder else name_or_path
        self.settings = {"style": style, "max_tokens": max_tokens, "temperature": temperature}
        self.max_tokens = max_tokens
        self.batch_size = batch_size
        self._uses_template = style == "chat" and bool(self._tokenizer.chat_template)
        # A decoder goes on from the right end of its prompt.
        self._tokenizer.padding_side = "left"
        if self._tokenizer.pad_token_id is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token

    def ask(self, instructions: Sequence[str], *, seeds: Sequence[int]) -> list[Answer]:
        """Answer a batch of instructions.

        Parameters
        ----------
        instructions : sequence of str
        seeds : sequence of int
            The first one seeds the sampling of the batch.

        Returns
        -------
        list of Answer

        Raises
        ------
        CoMCError
            Memory does not suffice.
        """
        inputs = self._tokenizer(
            [self._framed(instruction) for instruction in instructions],
            return_tensors="pt",
            padding=len(instructions) > 1,
            # A template brings its own.
            add_special_tokens=not self._uses_template,
            return_token_type_ids=False,
        ).to(self._model.device)
        try:
            with torch.inference_mode(), torch.random.fork_rng():
                torch.manual_seed(seeds[0])
                output = self._model.generate(
                    **inputs,
                    max_new_tokens=self.max_tokens,
                    pad_token_id=self._tokenizer.pad_token_id,
                    **self._sampling(),
                )
        except torch.OutOfMemoryError:
            raise CoMCError(
                f"{self.name} does not fit into memory with {len(instructions)} instructions at once; use a "
                "smaller --batch-size, or a smaller model."
            ) from None
        prompt_length = inputs["input_ids"].shape[1]
        return [
            self._read(answer, int(mask.sum()))
            for answer, mask in zip(output[:, prompt_length:].tolist(), inputs["attention_mask"], strict=True)
        ]

    def close(self) -> None:
        """Release the model."""
        del self._model

    def _framed(self, instruction: str) -> str:
        if not self._uses_template:
            return instruction
        return self._tokenizer.apply_chat_template(
            [{"role": "user", "content": instruction}], tokenize=False, add_generation_prompt=True
        )

    def _sampling(self) -> dict[str, bool | float]:
        temperature = self.settings["temperature"]
        if temperature is None:
            return {}
        return {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}

    def _read(self, tokens: list[int], prompt_tokens: int) -> Answer:
        ends = self._model.generation_config.eos_token_id
        ends = set(ends) if isinstance(ends, list) else {ends}
        length = next((i for i, token in enumerate(tokens) if token in ends), None)
        written = tokens[:length]
        return Answer(
            text=self._tokenizer.decode(written, skip_special_tokens=True),
            stopped_by="length" if length is None else "stop",
            tokens=prompt_tokens + len(written),
        )

"""Build a CLIP model and load its weights, or say clearly why not."""

from __future__ import annotations

import difflib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import torch
from huggingface_hub import constants, try_to_load_from_cache
from open_clip.convert import convert_state_dict
from open_clip.model import convert_to_custom_text_state_dict, resize_pos_embed
from open_clip.modified_resnet import ModifiedResNet
from open_clip.pretrained import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME, download_pretrained, get_pretrained_cfg
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from open_clip.transformer import VisionTransformer
from torch import Tensor, nn

from comc_utils.clip.model import Clip
from comc_utils.clip.pretraining import QUICKGELU, Training, check_activation, training_of
from comc_utils.clip.weights import WeightsFile, read_weights
from comc_utils.errors import CoMCError
from comc_utils.store.fingerprint import hash_tensors

_RESNET_STRIDE = 32
"""Input pixels per cell of a ModifiedResNet's last feature map, along each side."""
_OPENAI_MEGABYTES = {"RN50": 408, "RN101": 479, "ViT-B-32": 605, "ViT-B-16": 599}
"""Of OpenAI's weights on the hub, where open_clip gets them, in single precision. OpenAI's own files, in half
precision, have 244, 278, 338 and 335."""


def load_clip(
    name: str,
    weights: str | Path | None,
    *,
    tokenizer: Callable[[list[str], int], Tensor] | None = None,
    device: str | torch.device = "cpu",
    seed: int = 0,
    tag: str | None = None,
    image_size: int | None = None,
) -> Clip:
    """Load a CLIP model of open_clip's.

    Activation and normalisation are no weights, so loading OpenAI's weights into the plain-GELU model of the
    same shapes succeeds and gives wrong embeddings. Here it cannot happen unnoticed: how weights were trained
    is read from open_clip's record of their tag, or found out for a file, see `training_of`, and an activation
    that is not the model's is refused.

    Parameters
    ----------
    name : str
        A name of ``open_clip.list_models()``: open_clip's own (``RN50-quickgelu``,
        ``ViT-B-32-quickgelu``, ...) or one added by ``open_clip.add_model_config``.
    weights : str, Path or None
        A tag of ``open_clip.list_pretrained()`` for this model, e.g. ``"openai"`` (downloaded
        once, after a line on standard error that says how much); or the path of a file: safetensors,
        OpenAI's TorchScript archive, or a PyTorch checkpoint; or None for random weights. A string that
        is a tag of the model is taken as a tag.
    tokenizer : callable, optional
        ``tokenizer(texts, context_length)`` gives token ids [n, context_length], e.g. an
        ``open_clip.SimpleTokenizer`` with its own ``bpe_path``. By default open_clip's for the
        name.
    device : str or torch.device
        Where the towers run.
    seed : int
        Of the random weights; without effect where weights are given.
    tag : str, optional
        Of a file: the tag whose weights it holds, where the file does not say.
    image_size : int, optional
        Side of the square input in pixels, where it is not to be the model's own (224 for most): a
        multiple of 32 for a ModifiedResNet, of the patch for a vision transformer. The positional
        embedding is interpolated as open_clip does for fine-tuning (bicubic, antialiased), its
        first token kept; every other weight stays. The number of local embeddings K grows with the
        square of it, and so does the time, more than that for a vision transformer.

    Returns
    -------
    Clip
        In float32 and evaluation mode.

    Raises
    ------
    CoMCError
        Unknown name or tag; weights missing, damaged, unsafe, of another architecture or
        activation; a tokenizer of another vocabulary; a download that failed; an input size that
        the image tower cannot have.
    """
    config, training = _model_config(name), Training({}, "")
    path = file = None
    if weights is not None:
        training, path, file = _find_weights(name, weights, tag, config)
        if file is None:
            file, path = _read_tag(name, str(weights), training.settings)

    model = _build_model(name, training.settings, device, seed)
    if file is not None:
        _load_tensors(model, name, path, file.tensors)
    if image_size is not None:
        model = _at_image_size(model, name, training.settings, device, image_size)
    if isinstance(model.visual, ModifiedResNet):
        # Convolutions are faster in this memory layout, on CPUs as well.
        model.visual.to(memory_format=torch.channels_last)
    return Clip(
        name=name,
        fingerprint=hash_tensors(model.state_dict()),
        embedding_dim=config["embed_dim"],
        model=model.eval().requires_grad_(False),
        tokenizer=_matching_tokenizer(name, model, tokenizer),
    )


def describe_weights(name: str, weights: str | Path, *, tag: str | None = None) -> dict[str, Any]:
    """Say how a model's weights were trained, and how images are made ready for them; nothing is downloaded.

    Parameters
    ----------
    name, weights, tag
        As `load_clip` takes them.

    Returns
    -------
    dict of str to object
        ``weights`` (the tag, or the name of the file), ``mean``, ``std``, ``interpolation``, ``quick_gelu``
        and ``known_from``, which says where they are known from. What is not recorded is open_clip's default.

    Raises
    ------
    CoMCError
        As `load_clip`, as far as can be told without building the model.
    """
    config = _model_config(name)
    training, path, _ = _find_weights(name, weights, tag, config)
    settings = merge_preprocess_dict(PreprocessCfg(), dict(training.settings))
    return {
        "weights": path.name if path else str(weights),
        **{key: settings[key] for key in ("mean", "std", "interpolation")},
        "quick_gelu": bool(config.get("quick_gelu", False)),
        "known_from": training.known_from,
    }


def _find_weights(
    name: str, weights: str | Path, tag: str | None, config: Mapping[str, Any]
) -> tuple[Training, Path | None, WeightsFile | None]:
    """Read weights in a file; of a tag, which may have to be downloaded, only how it was trained."""
    if isinstance(weights, str) and (settings := get_pretrained_cfg(name, weights)):
        training = Training(settings, f"open_clip's tag {weights}")
        check_activation(name, repr(weights), config, training)
        return training, None, None
    path = Path(weights)
    if isinstance(weights, str) and not path.exists():
        tags = open_clip.list_pretrained_tags_by_model(name)
        raise CoMCError(
            f"{weights!r} is neither a file nor a weights tag of model {name!r}; "
            f"its tags: {', '.join(tags) or 'none'}."
        )
    file = read_weights(path)
    training = training_of(name, path, file, tag)
    check_activation(name, f"file {path}", config, training)
    return training, path, file


def _model_config(name: str) -> dict[str, Any]:
    names = open_clip.list_models()
    if name not in names:
        similar = difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(similar)}? " if similar else ""
        raise CoMCError(f"Unknown model {name!r}: {hint}open_clip.list_models() shows all {len(names)} names.")
    return open_clip.get_model_config(name)


def _read_tag(name: str, weights: str, tag: Mapping[str, Any]) -> tuple[WeightsFile, Path]:
    _announce_download(name, weights, tag)
    try:
        path = Path(download_pretrained(dict(tag)))
    # The hub's client, urllib and open_clip's checksum raise exceptions of many kinds.
    except Exception as error:
        raise CoMCError(
            f"Weights {weights!r} of model {name!r} could not be downloaded "
            f"({type(error).__name__}); check the network, or fetch the file elsewhere and give "
            "its path."
        ) from error
    return read_weights(path), path


def _announce_download(name: str, weights: str, tag: Mapping[str, Any]) -> None:
    """Say what is fetched, how large it is and under which terms, unless open_clip has it already."""
    repository, _, file = tag.get("hf_hub", "").rpartition("/")
    if repository:  # which open_clip prefers to an address, and safetensors there to a checkpoint
        files = (
            (file, str(Path(file).with_suffix(".safetensors")))
            if file
            else (HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME)
        )
        page, folder = f"https://huggingface.co/{repository}", Path(constants.HF_HUB_CACHE)
        there = any(isinstance(try_to_load_from_cache(repository, one), str) for one in files)
    else:
        page, folder = tag["url"], Path.home() / ".cache" / "clip"
        there = (folder / Path(page).name).is_file()
    if there:
        return
    model = name.removesuffix(QUICKGELU)
    if weights == "openai" and model in _OPENAI_MEGABYTES:
        what = f"{model} of OpenAI's CLIP ({_OPENAI_MEGABYTES[model]} MB, MIT licence) to {folder}"
    else:
        what = f"{model}, weights {weights}, to {folder}; size and licence are on {page}"
    print(f"Downloading {what}", file=sys.stderr, flush=True)


def _build_model(
    name: str, tag: Mapping[str, Any], device: str | torch.device, seed: int = 0, image_size: int | None = None
) -> nn.Module:
    # open_clip initialises from torch's global generator; the fork gives the caller's state back.
    with quiet_logging(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return open_clip.create_model(
                name,
                device=device,
                pretrained_image=False,
                pretrained_text=False,
                force_image_size=image_size,
                force_preprocess_cfg=dict(tag),
            )
        # Towers of timm and transformers bring their own exceptions, network errors among them.
        except Exception as error:
            raise CoMCError(
                f"Model {name!r} could not be built by open_clip on device {str(device)!r}: {error}"
            ) from error


@contextmanager
def quiet_logging() -> Iterator[None]:
    """Silence open_clip's warning of random weights, given though weights are loaded after."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(previous)


def _load_tensors(model: nn.Module, name: str, path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Load strictly. open_clip would also stretch positional embeddings of another image size."""
    state = convert_state_dict(model, dict(tensors))
    if "positional_embedding" in state and not hasattr(model, "positional_embedding"):
        state = convert_to_custom_text_state_dict(state)
    expected = model.state_dict()
    # Buffers that a state dict leaves out, but a TorchScript archive holds (the causal mask).
    derived = {key for key, _ in model.named_buffers()} - expected.keys()
    state = {key: value for key, value in state.items() if key not in derived}
    for key in ("logit_scale", "logit_bias"):  # a number in some files, a vector of one in others
        if key in state and key in expected and state[key].numel() == expected[key].numel():
            state[key] = state[key].reshape(expected[key].shape)

    problems = [f"{key} is missing" for key in expected if key not in state]
    problems += [f"{key} is not part of the model" for key in state if key not in expected]
    problems += [
        f"{key} has shape {tuple(state[key].shape)} where {tuple(value.shape)} is expected"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    if problems:
        raise CoMCError(
            f"Weights file {path} is not of model {name!r}: {problems[0]} ({len(problems)} such "
            "differences); give the name of the model that the file was made for."
        )
    model.load_state_dict(state)


def _at_image_size(
    model: nn.Module, name: str, tag: Mapping[str, Any], device: str | torch.device, image_size: int
) -> nn.Module:
    """Give the model for another input size, with the same weights."""
    visual = model.visual
    if isinstance(visual, ModifiedResNet):
        own_size, stride = visual.image_size, _RESNET_STRIDE
        key = "visual.attnpool.positional_embedding"
    elif isinstance(visual, VisionTransformer):
        own_size, stride = visual.image_size[0], visual.patch_size[0]
        key = "visual.positional_embedding"
    else:
        raise CoMCError(
            f"The input size of the image tower {type(visual).__name__} of model {name!r} cannot be "
            "changed; leave image_size (the @ and what follows in a backbone's name) out, or use a "
            "ModifiedResNet or a VisionTransformer."
        )
    if image_size == own_size:
        return model
    # Between multiples the grid, and with it the weights' fingerprint, would stay the same.
    if image_size < stride or image_size % stride or own_size % stride:
        raise CoMCError(
            f"image_size is {image_size}; the image tower of model {name!r}, made for {own_size} "
            f"pixels, can be changed from one multiple of {stride} to another; in a backbone's name it is the "
            "number after the @."
        )
    state = model.state_dict()
    # open_clip's function looks for the embedding where vision transformers have it, and for the
    # grid in an attribute that only they have: by itself it leaves an attention pool's as it is.
    embedding = {"visual.positional_embedding": state[key]}
    grid = SimpleNamespace(grid_size=(image_size // stride, image_size // stride))
    resize_pos_embed(embedding, SimpleNamespace(visual=grid))
    resized = _build_model(name, tag, device, image_size=image_size)
    resized.load_state_dict(state | {key: embedding["visual.positional_embedding"]})
    return resized


def _matching_tokenizer(
    name: str, model: nn.Module, tokenizer: Callable[[list[str], int], Tensor] | None
) -> Callable[[list[str], int], Tensor]:
    if tokenizer is None:
        try:
            tokenizer = open_clip.get_tokenizer(name)
        # As above: the tokenizer may be transformers', from the network.
        except Exception as error:
            raise CoMCError(
                f"The tokenizer of model {name!r} could not be made ({error}); check the network, use another "
                "model, or in Python pass a tokenizer as `tokenizer`."
            ) from error
    given, expected = getattr(tokenizer, "vocab_size", None), getattr(model, "vocab_size", None)
    if None not in (given, expected) and given != expected:
        raise CoMCError(
            f"Model {name!r} expects a vocabulary of {expected} tokens, the tokenizer has {given}; "
            "pass the model's own tokenizer as `tokenizer`."
        )
    return tokenizer

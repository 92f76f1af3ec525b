"""A tagger as a folder: safetensors, a JSON file that a person can read, a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from comc_utils.errors import CoMCError
from comc_utils.store.atomic import atomic_path
from comc_utils.store.fingerprint import hash_tensors
from comc_utils.tagging.about import About, model_card

CONFIG, TENSORS, CARD = "config.json", "model.safetensors", "README.md"


def save_tagger(folder: Path, about: About, tensors: Mapping[str, Tensor]) -> None:
    """Write a tagger, or replace one.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    about : About
    tensors : mapping of str to Tensor

    Raises
    ------
    CoMCError
        The folder holds something else than a tagger, or cannot be written.
    """
    config = {"tagger": about.to_json(), "tensors": hash_tensors(tensors)}
    try:
        if folder.exists() and not folder.is_dir():
            raise CoMCError(f"{folder} is a file; name a folder for the tagger.")
        if folder.is_dir() and any(folder.iterdir()) and not (folder / CONFIG).is_file():
            others = [path.name for path in folder.iterdir() if path.name not in (TENSORS, CARD)]
            if others:
                raise CoMCError(
                    f"{folder} holds other things ({others[0]}, ...); name a new folder for the tagger."
                )
        # All is on disk before the first file takes its place: a full disk leaves what was there.
        with ExitStack() as files:
            paths = {name: files.enter_context(atomic_path(folder / name)) for name in (CONFIG, TENSORS, CARD)}
            save_file({name: tensor.contiguous().clone() for name, tensor in tensors.items()}, paths[TENSORS])
            text = json.dumps(config, ensure_ascii=False, indent=1, allow_nan=False)
            paths[CONFIG].write_text(text, encoding="utf-8")
            paths[CARD].write_text(model_card(about), encoding="utf-8")
    except (OSError, SafetensorError) as error:
        raise CoMCError(
            f"The tagger cannot be written to {folder} ({error}); free some space, or name another folder."
        ) from None


def load_tagger(folder: Path) -> tuple[About, dict[str, Tensor]]:
    """Read a tagger, and see that its files belong together.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    about : About
    tensors : dict of str to Tensor

    Raises
    ------
    CoMCError
        There is no such folder, or it holds no tagger, one of a newer version, or one that is damaged.
    """
    if not folder.is_dir():
        raise CoMCError(
            f"There is no folder {folder}; learn a tagger first (learn --to {folder}), or for one on the Hub "
            "use Tagger.from_pretrained."
        )
    config = folder / CONFIG
    try:
        written = json.loads(config.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CoMCError(f"{folder} holds no tagger: {CONFIG} is missing; name the folder of one.") from None
    except (OSError, ValueError) as error:
        raise CoMCError(f"{config} cannot be read ({error}); learn the tagger again.") from None
    about = About.from_json(written.get("tagger") if isinstance(written, dict) else None, str(config))
    try:
        tensors = load_file(folder / TENSORS)
    except (OSError, SafetensorError) as error:
        raise CoMCError(f"{folder / TENSORS} cannot be read ({error}); learn the tagger again.") from None
    if hash_tensors(tensors) != written.get("tensors"):
        raise CoMCError(f"{folder / TENSORS} is not the one that {CONFIG} describes; learn the tagger again.")
    return about, tensors

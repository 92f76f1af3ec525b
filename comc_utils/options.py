"""The options of an experiment, once for `load_experiment`, notebooks' OPTIONS and the command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from comc_utils.errors import CoMCError


def _value(metavar: str, help: str, type: Any = str) -> Any:
    """Declare an option with a value: as a field, whose metadata are what `argparse` is told."""
    return field(default=None, metadata={"metavar": metavar, "help": help, "type": type, "default": None})


def _flag(help: str) -> Any:
    """Declare an option that is on or off, likewise."""
    return field(default=False, metadata={"action": "store_true", "help": help, "default": None})


@dataclass(frozen=True)
class ExperimentOptions:
    """How a profile is run; None, or False, leaves it to the profile.

    A field's metadata are what `argparse` is told of its option, whose name is the field's.
    """

    backbone: str | None = _value("NAME", "open_clip's name of the model (RN50-quickgelu@448: larger)")
    weights: str | Path | None = _value(
        "TAG|PATH", "of the backbone: a tag of open_clip's, a file, or a folder with a file a backbone"
    )
    tag: str | None = _value("TAG", "open_clip's tag of the weights in a file, where the file does not say")
    limit: int | None = _value("N", "a trial on the first N test images that are there", int)
    sentences: Any = _value("FILE", "corpus to train on (see write-sentences)", Path)
    n_sentences: int | None = _value("N", "train on N sentences (default: the profile's number)", int)
    draft: bool = _flag("let the decoder halve large JPEG files, which is faster and not quite the same")
    skip_unreadable: bool = _flag("leave out images that do not open, and say which (default: an error)")
    half: bool = _flag("embed images in half precision, on a GPU: scores move by 0.04 to 0.13")
    openvino: bool = _flag("embed images with OpenVINO, faster on some processors (the extra openvino)")

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> ExperimentOptions:
        """Read options by name.

        Parameters
        ----------
        given : mapping of str to object
            Values of some of the fields; None stands for not given.

        Returns
        -------
        ExperimentOptions

        Raises
        ------
        CoMCError
            For an unknown name; the message holds the nearest known one.
        """
        names = [f.name for f in fields(cls)]
        for name in given:
            if name not in names:
                near = get_close_matches(name, names, 1)
                hint = f"did you mean {near[0]!r}? " if near else ""
                raise CoMCError(f"There is no option {name!r}; {hint}Known: {', '.join(names)}.")
        return cls(**{name: value for name, value in given.items() if value is not None})


def flags() -> dict[str, dict[str, Any]]:
    """Give what `argparse` is told of each option, by its name on the command line (``--skip-unreadable``)."""
    return {"--" + option.name.replace("_", "-"): dict(option.metadata) for option in fields(ExperimentOptions)}

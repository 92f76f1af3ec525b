"""The image tower of a ModifiedResNet, run by OpenVINO on a CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from open_clip.modified_resnet import ModifiedResNet
from torch import Tensor, nn

from comc_utils.clip.resnet import ResNetTower
from comc_utils.errors import CoMCError

_WITHOUT = "leave the option openvino out (--openvino on the command line, with_openvino() in Python)"


class OpenVinoTower:
    """A ModifiedResNet converted to OpenVINO once: both global embeddings and the local ones in one graph.

    Parameters
    ----------
    model : nn.Module
        open_clip's model, on the CPU.

    Raises
    ------
    CoMCError
        OpenVINO is not installed, the image tower is of another kind, or not on the CPU.
    """

    def __init__(self, model: nn.Module) -> None:
        visual = model.visual
        if not isinstance(visual, ModifiedResNet):
            raise CoMCError(
                f"The image tower is a {type(visual).__name__}, and only ModifiedResNets are converted to "
                f"OpenVINO; {_WITHOUT}."
            )
        device = model.logit_scale.device
        if device.type != "cpu":
            raise CoMCError(
                f"The model is on {device}, and OpenVINO is for CPUs; {_WITHOUT}, or in Python load it with "
                'device="cpu".'
            )
        try:
            import openvino
        except ImportError:
            raise CoMCError(
                f"OpenVINO is not installed; install it with: pip install openvino, or {_WITHOUT}."
            ) from None
        size = visual.image_size
        with warnings.catch_warnings():
            # OpenVINO traces the module, which torch calls deprecated; its other way in, by torch.export, warns
            # as much.
            warnings.simplefilter("ignore")
            graph = openvino.convert_model(
                ResNetTower(visual, local=True),
                example_input=torch.zeros(2, 3, size, size),
                input=[-1, 3, size, size],
            )
        self._compiled: Any = openvino.Core().compile_model(
            graph,
            "CPU",
            {
                # Some CPUs would compute in bfloat16 by themselves.
                "INFERENCE_PRECISION_HINT": "f32",
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            },
        )

    def __call__(
        self, model: nn.Module, local: bool
    ) -> Callable[[Float[Tensor, "n 3 height width"]], list[Float[Tensor, "n ..."] | None]]:
        """Give what runs the image tower, as `comc_utils.clip.image.make_image_tower` does."""

        def embed(pixels: Tensor) -> list[Tensor | None]:
            outputs = self._compiled(pixels.contiguous().numpy()).values()
            with_position, without_position, regions = map(torch.from_numpy, outputs)
            return [with_position, without_position, regions if local else None]

        return embed

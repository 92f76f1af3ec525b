"""A CLIP model as the method sees it: sentences and images in, unit vectors out."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
from jaxtyping import Float, Int, UInt8
from open_clip.model import get_model_preprocess_cfg
from open_clip.modified_resnet import ModifiedResNet
from open_clip.transform import PreprocessCfg
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import normalize
from tqdm import tqdm

from comc_utils.clip.image import (
    ImageEmbeddings,
    embed_batches,
    make_image_tower,
    make_transforms,
    why_no_regions,
)
from comc_utils.clip.reading import read_batches
from comc_utils.clip.resnet import project_positions
from comc_utils.clip.text import (
    count_truncated,
    is_causal,
    split_by_tokens,
    text_features,
    text_lengths,
    token_features,
)
from comc_utils.clip.tokens import TokenEmbeddings
from comc_utils.errors import CoMCError

OPENAI_PREPROCESSING = ", ".join(str(getattr(PreprocessCfg(), key)) for key in ("mean", "std", "interpolation"))
"""`Clip.preprocessing` of OpenAI's models, and of most others."""

_CPU_TOKENS, _GPU_TOKENS = 1024, 16_384


@dataclass(frozen=True, eq=False)
class Clip:
    """A pair of frozen towers. Made by `load_clip`.

    Attributes
    ----------
    name : str
        open_clip's model name, e.g. ``RN50-quickgelu``.
    fingerprint : str
        SHA-256 over the loaded weights (names, dtypes, shapes, bytes). It does not cover what is
        not a weight, above all the activation function: a key for cached embeddings needs ``name``
        too.
    embedding_dim : int
        d, the length of an embedding.
    model : nn.Module
        open_clip's model, in evaluation mode.
    tokenizer : callable
        ``tokenizer(texts, context_length)`` gives token ids [n, context_length].
    make_tower : callable
        ``make_tower(model, local)`` gives what runs the image tower, see
        `comc_utils.clip.image.make_image_tower`; another one after `with_openvino`.
    half : bool
        Whether images are embedded in half precision, see `with_half_precision`.
    """

    name: str
    fingerprint: str
    embedding_dim: int
    model: nn.Module = field(repr=False)
    tokenizer: Callable[[list[str], int], Tensor] = field(repr=False)
    make_tower: Callable[..., Callable[[Tensor], Sequence[Tensor | None]]] = field(
        default=make_image_tower, repr=False
    )
    half: bool = False

    @property
    def temperature(self) -> float:
        """The learned temperature, 1 / exp(logit scale); 1/100 for OpenAI's models. Eq. 4's tau."""
        return math.exp(-self.model.logit_scale.item())

    def with_half_precision(self) -> Clip:
        """Give the same towers with images embedded in half precision, which is faster on a GPU.

        Unit vectors differ from float32's by about 1e-3. Emulated with random weights, final scores moved by
        0.04 to 0.13, where their spread was 0.09 to 0.30.

        Returns
        -------
        Clip

        Raises
        ------
        CoMCError
            The towers are not on a GPU.
        """
        if self.device.type != "cuda":
            raise CoMCError(
                f"Half precision is for a GPU, and {self.name} runs on the {self.device.type} here; leave the "
                "option half out (--half on the command line)."
            )
        return replace(self, half=True)

    @property
    def why_no_regions(self) -> str:
        """Why images have no local embeddings here; '' where they have."""
        return why_no_regions(self.model.visual)

    @property
    def preprocessing(self) -> str:
        """How pixels become the tower's input, beside size and crop: mean, deviation and interpolation."""
        own = get_model_preprocess_cfg(self.model)
        return ", ".join(str(own.get(key)) for key in ("mean", "std", "interpolation"))

    @property
    def image_size(self) -> int:
        """Side of the square input, in pixels."""
        size = self.model.visual.image_size
        return size if isinstance(size, int) else size[0]

    @property
    def device(self) -> torch.device:
        """Where the towers run; embeddings are given back on the CPU."""
        return self.model.logit_scale.device

    @property
    def projected_positions(self) -> Float[Tensor, "t d"] | None:
        """What its position adds to each token of the image tower's attention pool, in the embedding space.

        Returns
        -------
        Tensor [1 + K, d] or None
            Of the mean token, then of the K regions at the tower's input size, through the pool's value and
            output projections without their biases; on the CPU. An unnormalised local embedding plus its
            region's row is the token with position, projected; the mean of an image's local embeddings plus
            the first row is the mean token. None for a tower without a ModifiedResNet's attention pool.
        """
        visual = self.model.visual
        return project_positions(visual.attnpool).cpu() if isinstance(visual, ModifiedResNet) else None

    def with_openvino(self) -> Clip:
        """Give the same towers with images embedded by OpenVINO, which is faster on some CPUs.

        Converting takes some seconds and a second copy of the image tower's weights, which stays as
        it is when the model's change. In float32, as torch: unit vectors differ by about 1e-6.

        Returns
        -------
        Clip
            For ModifiedResNets on the CPU.

        Raises
        ------
        CoMCError
            OpenVINO is not installed, the image tower is of another kind, or not on the CPU.
        """
        from comc_utils.clip.openvino import OpenVinoTower

        return replace(self, make_tower=OpenVinoTower(self.model))

    def encode_text(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 256,
        batch_tokens: int | None = None,
        progress: bool = False,
    ) -> Float[Tensor, "n d"]:
        """Embed sentences by the end-of-text token (section 3.1 of the paper).

        Each distinct sentence is embedded once. Sentences are sorted by length, and where the text
        transformer is causal each batch is cut at its longest sentence, which changes nothing but
        the time (about five times less for short sentences).

        Parameters
        ----------
        texts : sequence of str
            At least one sentence. Those longer than the context (77 tokens in OpenAI's models) are
            cut by the tokenizer; a warning says how many.
        batch_size : int
            At most so many sentences a forward pass.
        batch_tokens : int, optional
            At most so many tokens a forward pass, padding included; a longer sentence goes alone.
            By default 1,024 on the CPU, which is busy with that and pads less, else 16,384.
        progress : bool
            Show a progress bar.

        Returns
        -------
        Tensor [n, d]
            Unit vectors, float32, on the CPU, in the order of ``texts``.

        Raises
        ------
        CoMCError
            ``texts`` is empty, a single string, or holds something other than strings.
        """
        _check_texts(texts)
        if batch_tokens is None:
            batch_tokens = _CPU_TOKENS if self.device.type == "cpu" else _GPU_TOKENS
        rows = {text: row for row, text in enumerate(dict.fromkeys(texts))}
        distinct = list(rows)
        tokens, lengths = self._tokenize(distinct)
        # Allocated outside inference mode: a classifier is trained on these, which torch refuses
        # for tensors made inside it.
        embeddings = torch.empty(len(distinct), self.embedding_dim)
        with torch.inference_mode(), tqdm(total=len(distinct), desc="sentences", disable=not progress) as bar:
            for batch in split_by_tokens(lengths, batch_size, batch_tokens):
                cut = tokens[batch, : int(lengths[batch].max())].to(self.device)
                embeddings[batch] = normalize(text_features(self.model, cut), dim=-1).cpu()
                bar.update(len(batch))
        return embeddings[[rows[text] for text in texts]]

    def encode_tokens(
        self, texts: Sequence[str], *, batch_size: int = 256, progress: bool = False
    ) -> TokenEmbeddings:
        """Embed every token of sentences, projected as the end-of-text token is.

        Parameters
        ----------
        texts : sequence of str
            At least one sentence; cut to the context as in `encode_text`.
        batch_size : int
            At most so many sentences a forward pass.
        progress : bool
            Show a progress bar.

        Returns
        -------
        TokenEmbeddings
            On the CPU, in half precision: a cosine moves by less than 1e-3 by that.

        Raises
        ------
        CoMCError
            As `encode_text`; and where the text tower is not open_clip's own causal transformer.

        References
        ----------
        Guo et al., Texts as Images in Prompt Tuning for Multi-Label Image Recognition, CVPR 2023.
        """
        _check_texts(texts)
        if not is_causal(self.model):
            raise CoMCError(
                f"The text tower of {self.name} gives no embeddings of single tokens; use a model "
                "with CLIP's own text transformer."
            )
        tokens, lengths = self._tokenize(texts)
        ends = lengths.cumsum(0)
        values = torch.empty(int(ends[-1]), self.embedding_dim, dtype=torch.float16)
        with (
            torch.inference_mode(),
            tqdm(total=len(texts), desc="sentences, by token", disable=not progress) as bar,
        ):
            for batch in split_by_tokens(lengths, batch_size, _CPU_TOKENS):
                cut = tokens[batch, : int(lengths[batch].max())].to(self.device)
                features = normalize(token_features(self.model, cut), dim=-1).cpu()
                for row, of_sentence in zip(batch.tolist(), features, strict=True):
                    n, end = int(lengths[row]), int(ends[row])
                    values[end - n : end] = of_sentence[:n]
                bar.update(len(batch))
        return TokenEmbeddings(values, lengths)

    def _tokenize(self, texts: Sequence[str]) -> tuple[Int[Tensor, "n context"], Int[Tensor, " n"]]:
        """Token ids and lengths; warns where sentences do not fit."""
        # Only open_clip's own towers hold their context length; elsewhere the tokenizer knows it.
        native = is_causal(self.model)
        context_length = (self.model if native else self.tokenizer).context_length
        tokens = self.tokenizer(list(texts), context_length)  # (n, context)
        lengths = text_lengths(self.model, tokens)
        if n_truncated := count_truncated(self.tokenizer, list(texts), tokens, lengths):
            warnings.warn(
                f"{n_truncated} of {len(texts)} sentences are longer than the context of "
                f"{context_length} tokens and were cut.",
                stacklevel=3,
            )
        return tokens, lengths

    def encode_images(
        self,
        images: Sequence[Image.Image],
        *,
        batch_size: int = 64,
        local: bool = True,
        resize: Literal["crop", "plain"] = "crop",
        num_workers: int | None = None,
        progress: bool = False,
    ) -> ImageEmbeddings:
        """Embed images as wholes and by region, in one forward pass (v^g and v^l of section 3.3).

        In float32, as the authors of the paper evaluate; with `with_half_precision` by torch's autocast.

        Parameters
        ----------
        images : sequence of PIL.Image.Image
            At least one. Only ``len(images)`` and ``images[i]`` are used, each ``i`` once, so a
            sequence that opens or draws its images on demand keeps few batches in memory.
        batch_size : int
            Images a forward pass.
        local : bool
            Whether regions are embedded: without attending to other regions in the last layer.
            ModifiedResNet: layer4's map through the attention pool's value and output projections.
            Vision transformer: the last block with attention replaced by each token's own value (its
            residual and MLP kept, as in MaskCLIP [1]_), then ``ln_post`` and the projection.
        resize : {"crop", "plain"}
            ``"crop"``: shorter side to the input size, then the central square, as CLIP was trained
            and evaluated; objects at the border are lost. ``"plain"``: the whole image squeezed
            into the square, as the paper words it.
        num_workers : int, optional
            Processes that open and resize images ahead of the model, each on one thread; results do
            not depend on it. By default one for each core this process may use, at most 16, none
            for fewer than 100 images; never more than there are batches after the first. 0 is this
            process; so it is for a list or tuple, whose open files cannot be shared, and where
            there is no safe fork (macOS, Windows).
        progress : bool
            Show a progress bar.

        Returns
        -------
        ImageEmbeddings
            Global [n, d] (with and without the attention pool's positional embedding) and local
            [n, K, d] unit vectors, float32, on the CPU. K runs over the
            feature map row by row from the top left: 7 x 7 for RN50 at 224 pixels. For a ModifiedResNet
            lengths [n, K] of the local ones before, too.

        Raises
        ------
        CoMCError
            An image does not open (its index and file are named), ``images`` is empty, the model's
            image tower has no such local embeddings, ``num_workers`` is negative, or a process that
            reads images was killed.

        References
        ----------
        .. [1] C. Zhou, C. C. Loy, B. Dai. Extract Free Dense Labels from CLIP. ECCV 2022.
        """
        n = len(images)
        # Allocated outside inference mode, as above.
        whole: dict[str, Tensor] = {}
        done = 0
        given = {"batch_size": batch_size, "local": local, "resize": resize, "num_workers": num_workers}
        with tqdm(total=n, desc="images", disable=not progress) as bar:
            for batch in self.encode_in_batches(images, **given):
                rows = slice(done, done + len(batch))
                for kind, part in vars(batch).items():
                    if part is not None:
                        if kind not in whole:
                            whole[kind] = torch.empty(n, *part.shape[1:])
                        whole[kind][rows] = part
                done = rows.stop
                bar.update(len(batch))
        return ImageEmbeddings(**{"local": None, **whole})

    def encode_in_batches(
        self,
        images: Sequence[Image.Image],
        *,
        batch_size: int = 64,
        local: bool = True,
        resize: Literal["crop", "plain"] = "crop",
        num_workers: int | None = None,
        fill: bool = False,
        faulty: Callable[[int, CoMCError], None] | None = None,
    ) -> Iterator[ImageEmbeddings]:
        """Embed images batch by batch, for those who keep each at once: otherwise as `encode_images`.

        Parameters
        ----------
        images, batch_size, local, resize, num_workers
            See `encode_images`.
        fill : bool
            Fill the last batch up with black images, which are not given out. Libraries choose their kernels by
            the size of a batch: so filled, an embedding is the same, bit for bit, however many images there
            are.
        faulty : callable, optional
            Told of each image that does not open, by its index and what is wrong, before the batch that it
            would be in. It is left out there. Without it such an image is an error.

        Yields
        ------
        ImageEmbeddings
            Of ``batch_size`` images, the last of those that are left, in order; never of none.

        Raises
        ------
        CoMCError
            As `encode_images`, when the first batch is asked for or at the batch that it is about.
        """
        n = len(images)
        if n == 0:
            raise CoMCError("There are no images to embed; give at least one.")
        crop, scale = make_transforms(self.model, resize)
        tower = self.make_tower(self.model, local)
        has_norms = self.projected_positions is not None
        left_out: set[int] = set()

        def leave_out(index: int, error: CoMCError) -> None:
            left_out.add(index)
            faulty(index, error)

        with read_batches(
            images,
            crop,
            batch_size=batch_size,
            num_workers=num_workers,
            pin_memory=self.device.type == "cuda",
            faulty=None if faulty is None else leave_out,
        ) as batches:
            filled = (_fill(batch, batch_size) for batch in batches) if fill else batches
            embedded = embed_batches(tower, scale, filled, self.device, half=self.half)
            for start, parts in zip(range(0, n, batch_size), embedded, strict=True):
                kept = [i for i in range(min(batch_size, n - start)) if start + i not in left_out]
                if len(kept) < len(parts[0]):
                    parts = [None if part is None else part[kept] for part in parts]
                with_position, without, regions, norms = parts
                if kept:
                    yield ImageEmbeddings(without, regions, with_position, norms if has_norms else None)


def _fill(batch: UInt8[Tensor, "n height width 3"], size: int) -> UInt8[Tensor, "size height width 3"]:
    missing = size - len(batch)
    return torch.cat([batch, batch.new_zeros(missing, *batch.shape[1:])]) if missing else batch


def _check_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise CoMCError(f"Expected a sequence of sentences, given one string; use [{texts!r}].")
    if len(texts) == 0:
        raise CoMCError("There are no sentences to embed; give at least one.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise CoMCError(f"Sentence {index} is of type {type(text).__name__}; give strings only.")

"""Where in a photo a label is seen."""

from __future__ import annotations

import os

from PIL import Image

from comc_utils.errors import CoMCError
from comc_utils.evaluation.where import RegionScores
from comc_utils.tagging.opening import open_photo
from comc_utils.tagging.tagger import Tagger

NO_REGIONS = "{} looks at the whole photo alone; a ResNet such as RN50-quickgelu looks at regions, too."


def where(
    tagger: Tagger, photo: str | os.PathLike[str] | Image.Image, label: str
) -> tuple[Image.Image, RegionScores]:
    """Score the regions of a photo for one label, to be drawn by `figures.regions_on`.

    Parameters
    ----------
    tagger : Tagger
        Whose model looks at regions.
    photo : path or PIL image
    label : str
        One of the tagger's.

    Returns
    -------
    photo : PIL.Image.Image
        In RGB, turned as its EXIF data say.
    scores : RegionScores
        The tagger's own, of each region by itself.

    Raises
    ------
    CoMCError
        The photo does not open, the label is none of the tagger's, or its model looks at no regions.
    """
    if label not in tagger.labels:
        raise CoMCError(f"{label!r} is no label of the tagger; give one of {', '.join(tagger.labels[:5])}, ...")
    towers = tagger.about.towers
    if not towers.regions:
        raise CoMCError(NO_REGIONS.format(towers.model))
    image = open_photo(photo)
    embedded = tagger.towers.clip.encode_images([image], resize=towers.resize, num_workers=0)
    ((_, scores),) = tagger.scorer.where(embedded)
    return image, RegionScores.of(scores[0, :, tagger.labels.index(label)], image.size, towers.resize)

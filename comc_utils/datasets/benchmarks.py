"""The paper's benchmarks, each by its profile's name."""

from __future__ import annotations

from pathlib import Path

from comc_utils.datasets.base import MultiLabelImages
from comc_utils.datasets.coco2014 import load_coco2014
from comc_utils.datasets.nuswide import load_nuswide
from comc_utils.datasets.voc2007 import load_voc2007
from comc_utils.errors import CoMCError

_LOADERS = {"voc2007": load_voc2007, "coco2014": load_coco2014, "nuswide": load_nuswide}
_TEST_SPLITS = {"voc2007": "test", "coco2014": "val2014", "nuswide": "test"}


def load_benchmark(
    name: str,
    root: Path | None,
    split: str | None = None,
    *,
    limit: int | None = None,
    draft_size: int | None = None,
) -> MultiLabelImages:
    """Load a benchmark from the folder that holds it.

    Parameters
    ----------
    name : str
        "voc2007", "coco2014" or "nuswide".
    root : Path or None
        The folder, as the benchmark's own loader takes it.
    split : str, optional
        The test split by default.
    limit : int, optional
        A trial on the first images, this many at most, of those that are there.
    draft_size : int, optional
        For JPEG files, see `image_files.open_image`.

    Returns
    -------
    MultiLabelImages

    Raises
    ------
    CoMCError
        Without a folder, and as the benchmark's own loader does.
    """
    if root is None:
        raise CoMCError(
            f"The images of {name} are yours to bring: say where they are by --data DIR, in a notebook by DATA "
            "in its parameters cell. The README says where to get them."
        )
    return _LOADERS[name](root, split or _TEST_SPLITS[name], limit=limit, draft_size=draft_size)

"""The paper's numbers, read from where they are kept once."""

from __future__ import annotations

import pandas as pd

from comc_utils.errors import CoMCError
from comc_utils.store.paths import repository_root

IMAGE_PARAMETERS = {"RN50": 38.32, "RN101": 56.26, "ViT-B/32": 87.85}
"""Millions of parameters in the image towers of Table 6: OpenAI's CLIP, as open_clip builds its models."""


def reported(table: int, **where: str) -> pd.DataFrame:
    """Rows of one of the paper's tables.

    Parameters
    ----------
    table : int
        1 to 6.
    **where : str
        Values that columns must have, for example ``dataset="VOC2007"``.

    Returns
    -------
    pandas.DataFrame
        Columns table, method, dataset, setting, metric, value (in percent).

    Raises
    ------
    CoMCError
        Where no row is left.
    """
    frame = pd.read_csv(repository_root() / "results" / "reported" / f"table{table}.csv")
    for column, value in where.items():
        frame = frame[frame[column] == value]
    if frame.empty:
        raise CoMCError(f"The paper's Table {table} has no row with {where}.")
    return frame

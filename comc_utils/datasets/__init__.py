"""One file a data set: class names, a 0/1 label matrix, and images or embeddings. Knows no model."""

from comc_utils.datasets.base import MultiLabelEmbeddings, MultiLabelImages
from comc_utils.datasets.coco500 import load_coco500
from comc_utils.datasets.coco2014 import load_coco2014
from comc_utils.datasets.folder import load_folder
from comc_utils.datasets.nuswide import load_nuswide
from comc_utils.datasets.voc2007 import load_voc2007

__all__ = [
    "MultiLabelEmbeddings",
    "MultiLabelImages",
    "load_coco500",
    "load_coco2014",
    "load_folder",
    "load_nuswide",
    "load_voc2007",
]

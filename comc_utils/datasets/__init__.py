"""One file a data set: class names, a 0/1 label matrix, and images or embeddings. Knows no model."""

from comc_utils.datasets.base import MultiLabelEmbeddings, MultiLabelImages
from comc_utils.datasets.coco500 import load_coco500

__all__ = ["MultiLabelEmbeddings", "MultiLabelImages", "load_coco500"]

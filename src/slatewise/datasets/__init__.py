"""Readers of data sets, and a simulated shop: files and frames in, events out. Knows no log and no settings file."""

from slatewise.datasets.dataset import Dataset
from slatewise.datasets.folder import read_folder
from slatewise.datasets.frames import read_frames
from slatewise.datasets.lightgcn import read_lightgcn
from slatewise.datasets.movielens import read_movielens
from slatewise.datasets.rejects import Reject, write_rejects

__all__ = ["Dataset", "Reject", "read_folder", "read_frames", "read_lightgcn", "read_movielens", "write_rejects"]

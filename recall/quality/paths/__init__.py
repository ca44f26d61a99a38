"""How good the paths are that a run gives as reasons: whether they exist, what they carry, and what they are about."""

from recall.quality.paths.assess import assess_paths, assess_run_paths
from recall.quality.paths.plot import check_plot, plot_paths
from recall.quality.paths.report import PathReport

__all__ = ["PathReport", "assess_paths", "assess_run_paths", "check_plot", "plot_paths"]

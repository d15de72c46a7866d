"""`plot_*(result, lang) -> Figure`: draws what was computed elsewhere; never computes, never shows.

A term is a key of the catalogue, such as `mse`, which the figure says in its language. A file for each theme; the
notebooks write `plots.plot_roc(…)`.
"""

from report.plots.compression import plot_lengths, plot_rates
from report.plots.detection import plot_heat, plot_roc
from report.plots.errors import plot_boxes, plot_class_errors, plot_error_histogram, plot_lines, plot_spectrum
from report.plots.images import plot_annotated, plot_atlas, plot_images, plot_reconstructions, plot_retrieval
from report.plots.maps import plot_explained, plot_maps, plot_overlap
from report.plots.model import plot_class_counts, plot_convolution, plot_model, plot_strides
from report.plots.sweeps import plot_grid, plot_parallel, plot_settings
from report.plots.training import plot_curve, plot_loss

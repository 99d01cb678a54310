"""Draws the ROC curve and the gain curve side by side, from labels and predicted chances."""

from pathlib import Path

import numpy as np

LINE, GUIDE = "#1f5fa8", "#9a9a9a"


def draw(labels: np.ndarray, chances: np.ndarray, path: Path, *, title: str) -> None:
    """Write the picture to `path`."""
    from matplotlib.figure import Figure
    from sklearn.metrics import roc_auc_score, roc_curve

    figure = Figure(figsize=(9.6, 4.6), layout="constrained")
    figure.suptitle(title)
    roc, gain = figure.subplots(1, 2)

    false_rate, true_rate, _ = roc_curve(labels, chances)
    roc.plot(false_rate, true_rate, color=LINE, label=f"model, area {roc_auc_score(labels, chances):.3f}")
    roc.plot([0, 1], [0, 1], color=GUIDE, linestyle="--", label="guessing, area 0.500")
    roc.set(
        title="ROC curve",
        xlabel="Customers who didn't buy, wrongly picked",
        ylabel="Customers who bought, rightly picked",
    )

    order = np.argsort(-chances, kind="stable")
    contacted = np.arange(len(labels) + 1) / len(labels)
    reached = np.concatenate([[0], np.cumsum(labels[order])]) / labels.sum()
    fifth = reached[round(0.2 * len(labels))]
    gain.plot(contacted, reached, color=LINE, label="most promising first")
    gain.plot([0, 1], [0, 1], color=GUIDE, linestyle="--", label="in any order")
    gain.plot([0.2, 0.2, 0], [0, fifth, fifth], color=LINE, linewidth=0.8, linestyle=":")
    note = f"a fifth of the calls reaches\n{fifth:.0%} of the buyers"
    gain.annotate(note, (0.2, fifth), xytext=(0.23, fifth - 0.12), bbox={"facecolor": "white", "edgecolor": "none"})
    gain.set(title="Gain curve", xlabel="Customers contacted", ylabel="Buyers reached")

    for axes in (roc, gain):
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.grid(color="#e6e6e6", linewidth=0.6)
        axes.legend(loc="lower right", frameon=False)
        axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)

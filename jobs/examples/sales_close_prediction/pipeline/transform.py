"""Stage 2: cleans and splits `customers.csv` into `split.npz` (training and hold-out part), and writes `scaler.joblib`.

The last column is the label (Yes or No). All others are numbers. The split is the same for every version and slot. So all
models are measured on the same customers, which none of them saw.
"""

import csv
from pathlib import Path

import numpy as np

from pipeline.parameters import Parameters, PipelineError

HOLD_OUT = 0.3
SPLIT_SEED = 0
LABELS = {"yes": 1, "no": 0, "1": 1, "0": 0, "true": 1, "false": 0}


def run(parameters: Parameters, work: Path, artifact: Path) -> str:
    """Clean, split, standardise. Raises PipelineError for a table that is too small to learn from."""
    import joblib
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    features, rows, labels, dropped = _clean(work / "customers.csv")
    if min(np.bincount(labels, minlength=2)) < 10:
        raise PipelineError(
            f"customers.csv: at least 10 closed and 10 lost sales are needed, of {len(labels)} usable rows"
        )
    train, held_out, train_labels, held_out_labels = train_test_split(
        rows, labels, test_size=HOLD_OUT, stratify=labels, random_state=SPLIT_SEED
    )
    scaler = StandardScaler().fit(train)
    joblib.dump(scaler, work / "scaler.joblib")
    np.savez(
        work / "split.npz",
        features=np.array(features),
        train=scaler.transform(train),
        train_labels=train_labels,
        held_out=held_out,
        held_out_labels=held_out_labels,
    )
    parts = f"{len(train):,} customers to train on, {len(held_out):,} held out"
    return f"{parts}, {len(features)} features, {dropped} unusable rows dropped"


def _clean(path: Path) -> tuple[list[str], np.ndarray, np.ndarray, int]:
    """Return the names of the features, their values, the labels, and the number of unusable rows."""
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        reader = csv.reader(file)
        header = next(reader, [])
        rows, labels, dropped = [], [], 0
        for row in reader:
            try:
                label = LABELS[row[-1].strip().lower()]
                values = [float(value) for value in row[:-1]]
            except (ValueError, KeyError, IndexError):
                values = []
            if len(values) != len(header) - 1 or not np.isfinite(values).all():
                dropped += 1
            else:
                rows.append(values)
                labels.append(label)
    if len(header) < 2 or not rows:
        raise PipelineError(
            "customers.csv has no usable row: a header, numbers, and Yes or No in the last column are needed"
        )
    return header[:-1], np.array(rows, dtype=np.float32), np.array(labels), dropped

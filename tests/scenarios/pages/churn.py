"""The task of the screens: pretends to train. Its results follow from its parameters alone, so that pictures don't change.

Uses the standard library only: `python3 churn.py FOLDER` in a task writes what `fedml publish FOLDER` publishes.
"""

from __future__ import annotations

import json
import math
import os
import struct
import sys
import time
import zlib
from pathlib import Path

SIZE_PX = 160
WAITS_FROM = 6


def main(folder: Path) -> None:
    """Trains one model of the sweep. Some parameters need more memory than there is; deep ones wait for the file GO."""
    lr, depth = float(os.environ["NOMAD_META_LR"]), int(os.environ["NOMAD_META_DEPTH"])
    print(f"churn: 1,747 customers, learning rate {lr}, depth {depth}", flush=True)
    if depth > 12:
        print(f"depth {depth} needs 41 GB, this node has 8 GB", file=sys.stderr)
        sys.exit(3)
    auc = 0.86 - (math.log10(lr) + 1.4) ** 2 / 18 - (depth - 6) ** 2 / 700 + math.sin(lr * 900 + depth) / 300
    loss = 0.2 + (0.9 - auc) * 0.8
    folder.mkdir()
    with (folder / "metrics.jsonl").open("w") as lines:
        for step in range(1, 41):
            at = loss + math.exp(-step * (3.5 + math.log10(lr)) / 9) * 0.5
            lines.write(f"{json.dumps({'step': step, 'log_loss': round(at, 4)})}\n")
            if step % 10 == 0:
                print(f"step {step}: loss {at:.4f}", flush=True)
    while depth >= WAITS_FROM and not Path(os.environ["SCREENS_GO"]).exists():
        time.sleep(0.2)
    metrics = {"auc": round(auc, 4), "log_loss": round(loss, 4), "train_s": 60 + depth * 7}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "model.bin").write_bytes(f"{lr} {depth}\n".encode() * 400)
    (folder / "roc.png").write_bytes(roc(auc))
    print(f"AUC {auc:.4f} on customers held out", flush=True)


def roc(auc: float) -> bytes:
    """The curve of true against false positives as a picture."""
    power = 1 / auc - 1
    lines = []
    for y in range(SIZE_PX):
        line = bytearray([255] * SIZE_PX)
        for x in range(SIZE_PX):
            curve, diagonal = (SIZE_PX - 1) * (1 - (x / SIZE_PX) ** power), SIZE_PX - 1 - x
            if y > curve:
                line[x] = 225
            if abs(y - diagonal) < 1 and x % 6 < 3:
                line[x] = 150
            if abs(y - curve) < 1.2 or x in (0, SIZE_PX - 1) or y in (0, SIZE_PX - 1):
                line[x] = 60
        lines.append(b"\0" + bytes(line))
    head = struct.pack(">IIBBBBB", SIZE_PX, SIZE_PX, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(lines), 9)), (b"IEND", b""))
    chunks = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

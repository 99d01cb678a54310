"""Runs the stages named on the command line, one after the other: `python3 -m pipeline extract transform …`.

Each stage is a module with `run(parameters, work, artifact)`, which returns a one-line summary. Stages pass data through
files in `work`. Files in `artifact` are published.
"""

import importlib
import os
import sys
import time
from pathlib import Path

from pipeline.parameters import PipelineError, from_environment

STAGES = ("extract", "transform", "build", "train", "test", "store")


def main(stages: list[str]) -> int:
    """Return 0, or 1 after one line on stderr that says what is wrong."""
    unknown = [stage for stage in stages if stage not in STAGES]
    if unknown or not stages:
        print(f"usage: python3 -m pipeline STAGE…, of {', '.join(STAGES)}", file=sys.stderr)
        return 1
    # Under Nomad: the folder that the tasks of one allocation share. By hand: ./build.
    shared = Path(os.environ.get("HANDOVER_DIR") or os.environ.get("NOMAD_ALLOC_DIR") or "build")
    work, artifact = shared / "work", shared / "artifact"
    stage = stages[0]
    try:
        parameters = from_environment(os.environ)
        for folder in (work, artifact):
            folder.mkdir(parents=True, exist_ok=True)
        for stage in stages:
            began = time.perf_counter()
            done = importlib.import_module(f"pipeline.{stage}").run(parameters, work, artifact)
            print(f"{stage:<10} {done}  ({time.perf_counter() - began:.1f} s)", flush=True)
    except PipelineError as error:
        problem = str(error)
    except ModuleNotFoundError as error:
        problem = f"{sys.executable} has no module {error.name}: install scikit-learn and matplotlib there"
    except FileNotFoundError as error:
        problem = f"{error.filename} is missing: did the stage before it run?"
    except OSError as error:
        problem = str(error)
    else:
        return 0
    print(f"{stage:<10} FAILED: {problem}", file=sys.stderr, flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Prove groups of cases in this process: `python -m fake_gpu.prove GROUPS [PATTERN]` prints each as a line of JSON.

Several groups are joined by commas.
"""

import json
import os
import re
import sys
import tempfile
import time
from importlib import import_module

from fake_gpu import device


def main(groups: str, pattern: str = "") -> None:
    device.install()
    import torch
    from helpers import small_pictures  # noqa: F401 (it acts on import)

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as home:
        os.environ["GENBENCH_HOME"] = f"{home}/home"
        for group in groups.split(","):
            for name, prove in import_module(f"fake_gpu.{group}").cases():
                if re.search(pattern, name):
                    began = time.perf_counter()
                    print(json.dumps(prove() | {"seconds": round(time.perf_counter() - began, 2)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

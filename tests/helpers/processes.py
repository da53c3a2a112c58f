"""Processes that tests start: forks of a server that knows genbench already, in which nothing checks shapes.

They run functions of modules, and return what these return.
"""

import importlib.util
import inspect
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial

from torch.distributed import TCPStore

context = multiprocessing.get_context("forkserver")
KNOWN = ["pytest", "torch._dynamo", "genbench.runs.run", "genbench.sweeps.execution", "helpers.small_pictures"]
context.set_forkserver_preload(KNOWN)  # before Python 3.13 the last one is not found, and pictures stay large


def apart(work, *arguments, **variables):
    """Return what a function returns in a process of its own, with these variables of the environment."""
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_run, inspect.getfile(work), work.__name__, arguments, variables).result()


def together(size, work, *arguments):
    """Return what a function returns in each process of a group, as torchrun would start them, by rank."""
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # at a port that nothing else can take
    shared = {"WORLD_SIZE": size, "LOCAL_WORLD_SIZE": size, "TORCHELASTIC_USE_AGENT_STORE": True}
    shared |= {"MASTER_ADDR": store.host, "MASTER_PORT": store.port}
    variables = [shared | {"RANK": rank, "LOCAL_RANK": rank} for rank in range(size)]
    with ProcessPoolExecutor(size, context) as pool:
        return list(pool.map(partial(_run, inspect.getfile(work), work.__name__, arguments), variables))


def begun(work, *arguments):
    """Return a process that runs a function."""
    process = context.Process(target=_run, args=(inspect.getfile(work), work.__name__, arguments, {}))
    process.start()
    return process


def _run(path, name, arguments, variables):
    os.environ |= {name: str(value) for name, value in variables.items()}
    spec = importlib.util.spec_from_file_location("of_test", path)  # pytest's names of modules are its own
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)(*arguments)

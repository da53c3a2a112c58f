"""The fake CUDA device, seen from Python: `install()` brings it into a process, `watch()` tells where the host waits.

Import this module, and call `install`, before torch is imported.
"""

import contextlib
import ctypes
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, SimpleNamespace
from typing import NamedTuple

from fake_gpu.library import library, torch_folder

NAME = "fake GPU"
MEMORY = 80 * 2**30
DEVICES = 2
WATCHER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_int)
WAIT, HOST_PRODUCT = 0, 1

_loaded: list[ctypes.CDLL] = []


def install(devices: int = DEVICES) -> None:
    """Let torch find CUDA devices, whose random numbers are the CPU's for the same seed: results can be compared."""
    assert "torch" not in sys.modules, "the library has to be loaded before torch"
    ctypes.CDLL(str(torch_folder() / "lib" / "libtorch_cpu.so"), mode=ctypes.RTLD_GLOBAL)
    device = ctypes.CDLL(str(library()), mode=ctypes.RTLD_GLOBAL)
    _loaded.append(device)
    import torch
    from torch import cuda, distributed

    cuda._initialized = True
    cuda._lazy_init = lambda: None
    cuda.is_available = lambda: True
    cuda.device_count = cuda.random.device_count = lambda: devices
    # Functions of Python: Dynamo hashes what it finds here.
    torch._C._cuda_getDevice = lambda: device.fake_current_device()
    torch._C._cuda_setDevice = lambda index: device.fake_set_device(index)
    cuda._exchange_device = lambda index: _exchange(index)
    cuda._maybe_exchange_device = lambda index: _exchange(index)
    cuda.synchronize = cuda.empty_cache = cuda.reset_peak_memory_stats = lambda which=None: None
    cuda.max_memory_allocated = cuda.memory_allocated = lambda which=None: 0
    cuda.mem_get_info = lambda which=None: (MEMORY, MEMORY)
    cuda.get_device_name = lambda which=None: NAME
    cuda.get_device_capability = lambda which=None: (9, 0)
    cuda.get_device_properties = lambda which=None: SimpleNamespace(
        name=NAME, total_memory=MEMORY, major=9, minor=0, multi_processor_count=132
    )
    cuda.is_bf16_supported = lambda *a, **k: True
    cuda.is_current_stream_capturing = lambda: False

    class Stream(torch.Stream):
        """The one stream of a device: whatever is queued has been done."""

        def __new__(cls, device: object = None, priority: int = 0) -> "Stream":
            return super().__new__(cls, device=device or "cuda")

    cuda.Stream = Stream
    cuda.current_stream = Stream
    cuda.stream = lambda stream: contextlib.nullcontext()
    device.fake_hand_out_default_generators(1)
    cuda.default_generators = tuple(torch.Generator(f"cuda:{i}") for i in range(DEVICES))
    device.fake_hand_out_default_generators(0)
    cuda.amp.common.amp_definitely_not_available = lambda: False

    start = distributed.init_process_group
    distributed.init_process_group = lambda backend, **options: start(backend.replace("nccl", "gloo"), **options)
    plain = torch.Tensor.__deepcopy__

    def deepcopy(self: torch.Tensor, memo: dict) -> torch.Tensor:
        """Clone: Python cannot make a storage of CUDA in a CPU build."""
        if self.device.type != "cuda" or type(self) is not torch.Tensor:
            return plain(self, memo)
        return memo.setdefault(id(self), self.detach().clone().requires_grad_(self.requires_grad))

    torch.Tensor.__deepcopy__ = deepcopy


def _exchange(index: int) -> int:
    before = _loaded[0].fake_current_device()
    if index >= 0:
        _loaded[0].fake_set_device(index)
    return before


class Place(NamedTuple):
    """Where in genbench something happened.

    Args:
        phase: "step" of a training, "draw" of its example, or "other".
        number: which step, from 0; 0 outside of training.
        function: innermost function of genbench, as "training/step.py Step.take".
    """

    phase: str
    number: int
    function: str


class Seen(NamedTuple):
    """What `watch` sees: the operators for which the host waits, and the products that it computes itself."""

    waits: list[tuple[str, Place]]
    host_products: list[tuple[str, Place]]

    def most_waits(self, phase: str) -> int:
        """Return the largest number of waits in one step of training, the first one aside."""
        numbers = [place.number for _, place in self.waits if place.phase == phase and place.number]
        return max(map(numbers.count, numbers), default=0)


@contextlib.contextmanager
def watch() -> Iterator[Seen]:
    """Record, with their places, waits of the host and its products for the duration of a block."""
    import genbench

    package = str(Path(genbench.__file__).parent) + "/"
    seen = Seen([], [])

    def note(op: bytes, what: int) -> None:
        (seen.waits if what == WAIT else seen.host_products).append((op.decode(), _place(package)))

    watcher = WATCHER(note)
    _loaded[0].fake_watch(watcher)
    try:
        yield seen
    finally:
        _loaded[0].fake_watch(WATCHER())


def _place(package: str) -> Place:
    own = list(_frames(sys._getframe(2), package))
    # Threads of the autograd engine run no code of genbench: what they do belongs to the line that waits for them.
    main = threading.main_thread().ident
    frames = own or list(_frames(sys._current_frames().get(main or 0), package))
    function = "?"
    if frames:
        function = f"{frames[0].f_code.co_filename.removeprefix(package)} {frames[0].f_code.co_qualname}"
    for frame in frames:
        if frame.f_code.co_qualname == "Step.take":
            return Place("step", frame.f_locals["self"].state.step, function)
        if frame.f_code.co_name == "example":
            return Place("draw", frame.f_locals["step"], function)
    return Place("other", 0, function)


def _frames(frame: FrameType | None, package: str) -> Iterator[FrameType]:
    """Yield the frames of genbench, innermost first."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(package):
            yield frame
        frame = frame.f_back

"""Memory: what this machine cannot hold is refused with both sizes."""

import gc
import platform
import resource
import sys

import pytest
import torch
from helpers.processes import apart

from genbench.errors import ConfigError
from genbench.storage import memory

GIB = 2**30


@pytest.fixture
def limited(tmp_path, monkeypatch):
    """limited(text) puts this process into a container whose limit is stated as the text."""

    def limit(text):
        (tmp_path / "memory.max").write_text(text)
        monkeypatch.setattr(memory, "LIMITS", (str(tmp_path / "memory.max"), str(tmp_path / "none")))
        memory.total.cache_clear()

    yield limit
    memory.total.cache_clear()


def test_the_limit_of_the_container_counts_where_it_is_below_the_memory_of_the_machine(limited):
    limited("max\n")
    machine = memory.total()
    assert machine > GIB / 2
    limited(f"{64 * 2**20}\n")
    assert memory.total() == 64 * 2**20
    limited(str(2**62))
    assert memory.total() == machine


def test_what_does_not_fit_is_refused_with_both_sizes(limited):
    limited(str(3 * GIB))
    memory.total.cache_clear()
    if memory.total() < 3 * GIB:
        pytest.skip("this machine has less than 3 GiB")
    memory.require(3 * GIB, "plan.batch_size=1")
    with pytest.raises(ConfigError, match=r"size=2 needs at least 6 GiB of memory, but this machine has 3 GiB"):
        memory.require(6 * GIB, "plan.batch_size=2")
    with pytest.raises(ConfigError, match=r"needs at least 1e\+09 GiB of memory"):
        memory.require(2**60, "n")


def faults_of_a_hundred_rounds():
    memory.keep_freed()
    for number in range(120):
        if number == 20:
            before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        x = torch.ones(200_000)
        for _ in range(4):
            x = torch.relu(x + torch.exp(x - x))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator of another C library is left alone")
def test_freed_memory_is_kept():
    # 800 KB are 196 pages: one tensor mapped afresh in every round would already be 19,600.
    assert apart(faults_of_a_hundred_rounds) < 2_000


@pytest.mark.parametrize("first", [True, False])
def test_what_exists_after_the_first_import_of_torch_is_left_out_of_later_collections(monkeypatch, first):
    if first:
        monkeypatch.delitem(sys.modules, "torch")
    before = gc.get_freeze_count()
    try:
        with memory.uncollected_imports():
            assert gc.isenabled() != first
            lasting = [[]]
        assert gc.isenabled()
        assert (gc.get_freeze_count() > before) == first
        assert any(each is lasting for each in gc.get_objects()) != first
    finally:
        gc.unfreeze()

"""What graphs hold is counted and let go of, gradients are put back, and errors that mean memory are known."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from pagetune.training import memory
from pagetune.training.memory import Gradients, GraphMeter, forget_frames, free_bytes, is_out_of_memory


def test_each_storage_of_a_graph_is_counted_once_and_weights_are_not():
    layer = nn.Linear(8, 8)
    meter = GraphMeter(layer)
    inputs = torch.randn(32, 8)
    with meter.measuring():
        layer(inputs).sigmoid()
    assert meter.bytes == 2 * inputs.nbytes  # The inputs, and what the sigmoid made of them.
    with meter.measuring():
        layer(inputs)
    assert meter.bytes == inputs.nbytes


def test_a_measured_graph_gives_the_same_gradients():
    layer = nn.Sequential(nn.Linear(8, 8), nn.Softmax(-1))
    inputs = torch.randn(4, 8)
    layer(inputs).square().sum().backward()
    expected, layer[0].weight.grad = layer[0].weight.grad, None
    with GraphMeter(layer).measuring():
        value = layer(inputs)
    value.square().sum().backward()
    torch.testing.assert_close(layer[0].weight.grad, expected, rtol=0, atol=0)


def test_a_measured_graph_that_nobody_pulled_is_let_go_of():
    """A softmax saves what it returns: held as it is, graph and tensor would hold each other for ever."""
    inputs = torch.randn(4, 8, requires_grad=True)
    gone = []

    class Watched(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value):
            weakref.finalize(ctx, gone.append, 1)
            return value.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    with GraphMeter(nn.Identity()).measuring():
        value = torch.softmax(Watched.apply(inputs), -1)
    del value
    gc.collect()
    assert gone


def test_gradients_are_put_back():
    kept, new, changed = (nn.Parameter(torch.ones(3)) for _ in range(3))
    kept.grad, changed.grad = torch.full((3,), 2.0), torch.full((3,), 3.0)
    before = Gradients([kept, new, changed])
    changed.grad.mul_(5)
    new.grad, kept.grad = torch.ones(3), None
    before.restore()
    assert new.grad is None
    assert [each.grad[0].item() for each in (kept, changed)] == [2, 3]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (MemoryError(), True),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory"),
            True,
        ),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("MPS backend out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_that_mean_memory(error, expected):
    assert is_out_of_memory(error) is expected


def test_a_forgotten_error_holds_no_activations():
    class Held:
        pass

    def fail():
        held = Held()
        alive.append(weakref.ref(held))
        try:
            raise KeyError("first")
        except KeyError:
            raise RuntimeError("second") from None

    alive: list = []
    try:
        fail()
    except RuntimeError as error:
        kept = error
    assert alive[0]() is not None
    forget_frames(kept)
    assert alive[0]() is None


def test_free_memory_is_the_least_of_machine_and_container(monkeypatch, tmp_path):
    files = {
        "/proc/meminfo": "MemTotal: 9000 kB\nMemAvailable: 4000 kB\n",
        "/sys/fs/cgroup/memory.max": "2000000\n",
        "/sys/fs/cgroup/memory.current": "1500000\n",
        "/sys/fs/cgroup/memory.stat": "anon 9\ninactive_file 400000\n",
    }
    monkeypatch.setattr(memory, "_lines", lambda file: files.get(str(file), "").splitlines())
    assert free_bytes(torch.device("cpu")) == 900_000
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert free_bytes(torch.device("cpu")) == 4_096_000
    files.clear()
    assert free_bytes(torch.device("cpu")) == 1 << 29

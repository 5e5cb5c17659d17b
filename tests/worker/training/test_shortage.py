"""In how many words it is said that memory has run out."""

import errno

import pytest
import torch

from worker.training.memory import is_out_of_memory, while_memory_lasts

SHORT = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    *map(
        RuntimeError,
        [
            "[enforce fail at alloc_cpu.cpp:119] err == 0. DefaultCPUAllocator: can't allocate memory: you tried ...",
            "unable to mmap 4096 bytes from file </weights>: Cannot allocate memory (12)",
            "std::bad_alloc",
            "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported at some other API call.",
            "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
            "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
            "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
            "cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
        ],
    ),
]
OTHER = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError("out of memory"),  # whoever says so, it was not the system
    ValueError("out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_INVALID_VALUE when calling `cublasSgemm(...)`"),
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (4x6 and 7x3)"),
]


@pytest.mark.parametrize("error", SHORT, ids=repr)
def test_a_shortage_is_known_by_what_is_said_of_it(error: Exception) -> None:
    assert is_out_of_memory(error)
    with while_memory_lasts():
        raise error


@pytest.mark.parametrize("error", OTHER, ids=repr)
def test_what_is_no_shortage_goes_on_its_way(error: Exception) -> None:
    assert not is_out_of_memory(error)
    with pytest.raises(type(error)) as raised, while_memory_lasts():
        raise error
    assert raised.value is error


def test_torchs_class_for_a_gpus_errors_is_one_that_is_looked_at() -> None:
    assert issubclass(torch.AcceleratorError, RuntimeError)

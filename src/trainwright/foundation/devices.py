"""Which device a run uses, and what the machine is: for plans, reports and manifests."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Any

from trainwright.foundation.errors import RecipeError

if TYPE_CHECKING:
    import torch


def choose_device(name: str = "auto") -> torch.device:
    """Return the device called `name`; "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        RecipeError: the device asked for is not on this machine.
    """
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    count = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }
    kind, _, index = name.partition(":")
    if not (index.isdecimal() or name == kind) or int(index or 0) >= count.get(kind, 0):
        have = ", ".join(device for device, number in count.items() if number)
        raise RecipeError(
            f"there is no device '{name}' here", fix=f"set training.device to one of: auto, {have}"
        )
    return torch.device(name)


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return what lets a block compute in a precision of the recipe: "float32" or "bfloat16"."""
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def num_cpus() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def environment() -> dict[str, Any]:
    """Return the machine and the versions that a result depends on."""
    from importlib.metadata import version

    import torch

    packages = ("trainwright", "torch", "numpy", "polars", "scikit-learn", "transformers", "tokenizers")
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "cores": num_cpus(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
        if hasattr(os, "sysconf")
        else None,
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "packages": {name: version(name) for name in packages},
    }


def processor() -> str:
    """Return what the CPU calls itself."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 (a kernel file)
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def free_memory() -> int:
    """Return how many bytes of memory programs can still take on this machine; all of it where none tells."""
    try:
        with open("/proc/meminfo", encoding="utf-8") as lines:  # noqa: PTH123 (a kernel file)
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, in MiB."""
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)

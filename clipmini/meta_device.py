"""Models that are shapes alone, on torch's device "meta"."""

from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


class _NoNumbers(TorchFunctionMode):
    """Makes drawing a parameter's first numbers, and scaling them, cost nothing. On the device "meta" torch would do it
    by rules that load its whole compiler: more than a second and 70 MB."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if func is torch.randn:
            return torch.empty(*args, **kwargs)
        scales = func is Tensor.mul and not isinstance(args[1], Tensor)
        if scales or func in (Tensor.normal_, Tensor.uniform_) or getattr(func, "__module__", "") == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


@contextmanager
def without_numbers():
    """Models that are built in this context have shapes alone: no memory, no random numbers."""
    with torch.device("meta"), _NoNumbers():
        yield

"""Sees what torch copies to another device, and what a thread waits for; the device "meta" stands for a GPU."""

from torch.utils._python_dispatch import TorchDispatchMode


class Copies(TorchDispatchMode):
    """The copies from the CPU to another device (whether each waits), and the names of the calls that wait anyhow."""

    def __init__(self):
        super().__init__()
        self.waits, self.stalls = [], []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs, name = kwargs or {}, function.name()
        if name == "aten::_to_copy" and args[0].device.type == "cpu" and str(kwargs.get("device", "cpu")) != "cpu":
            self.waits.append(not kwargs.get("non_blocking", False))
        if name in ("aten::_local_scalar_dense", "aten::nonzero") and args[0].device.type != "cpu":
            self.stalls.append(name)
        return function(*args, **kwargs)

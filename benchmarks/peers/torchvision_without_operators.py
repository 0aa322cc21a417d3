"""Imports torchvision also where its compiled operators do not load: to be imported before anything that imports it.

torchvision's wheels are linked with CUDA, and beside torch's build for the CPU alone its import fails: it declares
operators that its library, which was not loaded, should have brought. Transforms, of Pillow's images and of tensors,
need none of them, so only these declarations are left out. `torchvision.io` then decodes nothing.
"""

import sys
import types

DECLARATIONS = ("torchvision._meta_registrations", "torchvision._autograd_registrations")

try:
    import torchvision
except RuntimeError:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    for name in DECLARATIONS:
        sys.modules[name] = types.ModuleType(name)
    import torchvision  # noqa: F401

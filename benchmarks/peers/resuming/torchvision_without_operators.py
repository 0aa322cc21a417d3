"""To be imported before torchvision beside torch's build for the CPU, whose operators it would miss at its import."""

import sys
import types

for name in ("torchvision._meta_registrations", "torchvision._autograd_registrations"):
    sys.modules[name] = types.ModuleType(name)

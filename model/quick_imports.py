"""timm and torchvision without torch.compile's machinery, which takes longer to import than both together.

torchvision's ops ask it one question, whether a device can compile, and only in PyTorch's deterministic mode on a GPU;
timm marks a function of one network as not to be compiled. Two and a half of six seconds of a processor's time in every
command that touches a network were that import (docs/performance.md).
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

_PACKAGE, _MODULE = "torch._dynamo", "torch._dynamo.utils"


def _is_compile_supported(device_type: str) -> bool:
    """The machinery's own answer, for which it is imported after all."""
    from torch._dynamo.utils import is_compile_supported

    answer: bool = is_compile_supported(device_type)
    return answer


def _disable(function: Any, *_: Any, **__: Any) -> Any:
    return function


def _import_without_compiler() -> None:
    """With a stand-in for the machinery; whoever wants that one later still gets it."""
    if _PACKAGE in sys.modules:
        return
    package, module = ModuleType(_PACKAGE), ModuleType(_MODULE)
    package.disable = _disable  # type: ignore[attr-defined]
    module.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    sys.modules[_PACKAGE], sys.modules[_MODULE] = package, module
    try:
        import timm  # noqa: F401
        import torchvision  # noqa: F401
    finally:
        del sys.modules[_PACKAGE], sys.modules[_MODULE]


_import_without_compiler()

"""ccxt with the classes of one venue instead of all: 59 MB a process in place of 115, and half the
CPU at the start (measured with 4.5.90).

The `__init__` of ccxt's three packages imports some 110 venues each. Packages of the same names
that import a class when somebody asks for it stand in their place; everything below them is ccxt's
own. `tests/unit/test_lean_ccxt.py` fails where a new ccxt does not bear that.
"""

import importlib
import importlib.machinery
import importlib.util
import sys
from types import ModuleType
from typing import Any

_PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")


class _LazyPackage(ModuleType):
    """A package whose classes are its submodules' classes of the same name, as ccxt's are."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            importlib.import_module(f"{self.__name__}.{name}")
        except ModuleNotFoundError as error:
            raise AttributeError(name) from error
        return self.__dict__[name]

    def __setattr__(self, name: str, value: Any) -> None:
        """The import system sets a submodule as attribute of its package; the class is meant."""
        if isinstance(value, ModuleType):
            value = value.__dict__.get(name, value)
        super().__setattr__(name, value)


def install() -> None:
    """Make `import ccxt` lean in this process. Does nothing once ccxt is imported."""
    if "ccxt" in sys.modules:
        return
    spec = importlib.util.find_spec("ccxt")
    if spec is None or not spec.submodule_search_locations:
        return  # the import that follows says what is wrong
    root = spec.submodule_search_locations[0]
    for name in _PACKAGES:
        _add(name, "/".join([root, *name.split(".")[1:]]))
    errors = importlib.import_module("ccxt.base.errors")
    exchange = importlib.import_module("ccxt.base.exchange")
    public = {name: value for name, value in vars(errors).items() if not name.startswith("_")}
    for name in _PACKAGES:
        vars(sys.modules[name]).update(public)
        vars(sys.modules[name])["__version__"] = exchange.__version__
    vars(sys.modules["ccxt"])["Exchange"] = exchange.Exchange


def _add(name: str, path: str) -> None:
    package = _LazyPackage(name)
    spec = importlib.machinery.ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = [path]
    package.__path__ = [path]
    package.__spec__ = spec
    sys.modules[name] = package
    parent, _, child = name.rpartition(".")
    if parent:
        vars(sys.modules[parent])[child] = package

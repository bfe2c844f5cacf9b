"""Modules beside a job file, imported so that jobs in different folders cannot collide.

A folder's modules live under a private package, new for every load: a module of the same name in
another folder is another module, and an edited file takes effect at the next load. While a module is
being imported, `import sibling` finds the modules beside it and the folder is on `sys.path`;
afterwards both are as before. (An import inside a function that is called later sees the siblings
only as `from . import sibling`.)
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import itertools
import sys
import threading
import types
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from importlib.abc import Loader
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from pathlib import Path

_PREFIX = "_leasehold_job_"
_numbers = itertools.count(1)
# Imports change `sys.path`, `sys.meta_path` and `sys.modules`, which belong to the process.
_importing = threading.RLock()


class JobModules:
    """The modules of one job's folder. Empty `base_dir`: there are none."""

    def __init__(self, base_dir: str) -> None:
        self._base_dir = base_dir
        self._package: str | None = None
        _newest[base_dir] = self

    @classmethod
    def newest(cls, base_dir: str) -> JobModules:
        """Return the folder's modules as they were made last: whoever shares them gets the same modules."""
        return _newest.get(base_dir) or cls(base_dir)

    def has(self, module: str) -> bool:
        """Return whether the folder has a module of this dotted name."""
        if not self._base_dir:
            return False
        place = Path(self._base_dir, *module.split("."))
        return place.with_name(place.name + ".py").is_file() or (place / "__init__.py").is_file()

    def names(self) -> list[str]:
        """Return the names of the modules in the folder, sorted."""
        return sorted(path.stem for path in Path(self._base_dir).glob("*.py")) if self._base_dir else []

    def load(self, module: str) -> types.ModuleType:
        """Import one of the folder's modules, once for this object.

        Raises whatever the module raises while it is imported.
        """
        with _importing:
            if self._package is None:
                self._package = _open_package(self._base_dir)
            with _siblings_visible(self._base_dir, self._package):
                return importlib.import_module(f"{self._package}.{module}")


_newest: dict[str, JobModules] = {}


def _open_package(base_dir: str) -> str:
    """Make the package that holds the folder's modules, in place of the one of an earlier load."""
    stem = f"{_PREFIX}{blake2b(base_dir.encode(), digest_size=6).hexdigest()}_"
    for name in [name for name in list(sys.modules) if name.startswith(stem)]:
        del sys.modules[name]
    package = types.ModuleType(f"{stem}{next(_numbers)}")
    package.__path__ = [base_dir]
    sys.modules[package.__name__] = package
    return package.__name__


@contextlib.contextmanager
def _siblings_visible(base_dir: str, package: str) -> Iterator[None]:
    finder = _Finder(base_dir, package)
    hidden = {name: sys.modules.pop(name) for name in finder.shadowed()}
    sys.meta_path.insert(0, finder)
    sys.path.insert(0, base_dir)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(base_dir)
        sys.meta_path.remove(finder)
        for name in finder.lent:
            sys.modules.pop(name, None)
        sys.modules.update(hidden)


class _Finder:
    """Finds the package's modules, and lends them to each other under their plain names."""

    def __init__(self, base_dir: str, package: str) -> None:
        self.lent: list[str] = []
        self._base_dir = base_dir
        self._package = package

    def shadowed(self) -> list[str]:
        """Return loaded modules from elsewhere that have the name of a module in the folder."""
        beside = {path.stem for path in Path(self._base_dir).glob("*.py")}
        beside |= {path.parent.name for path in Path(self._base_dir).glob("*/__init__.py")}
        return [
            name
            for name, module in list(sys.modules.items())
            if (top := name.partition(".")[0]) in beside
            and not _is_protected(top)
            and not _lies_in(module, self._base_dir)
        ]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where the module is, None where it is none of this folder's. `target` is not needed."""
        del target
        parent, _, _ = fullname.rpartition(".")
        if fullname.startswith(f"{self._package}."):
            return _spec_in(path or (), fullname)
        if parent not in self.lent and (parent or _is_protected(fullname)):
            return None
        private = f"{self._package}.{fullname}"
        found = _spec_in(path or (self._base_dir,), private)
        if found is None or found.loader is None:
            return None
        self.lent.append(fullname)
        return ModuleSpec(fullname, _Lender(private), is_package=found.submodule_search_locations is not None)


class _Lender(Loader):
    """Gives a private module out under a second name."""

    def __init__(self, private: str) -> None:
        self._private = private
        self._spec: ModuleSpec | None = None

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        """Return the private module, imported if need be."""
        module = importlib.import_module(self._private)
        self._spec = module.__spec__
        del spec
        return module

    def exec_module(self, module: types.ModuleType) -> None:
        """Run nothing: the module has run. The import system has put our spec on it: undo that."""
        module.__spec__ = self._spec


class _UncachedLoader(SourceFileLoader):
    """Compiles the source as it stands: a cached file would hide an edit within the same second."""

    def get_code(self, fullname: str) -> types.CodeType:
        """Return the module's code, from its source."""
        path = self.get_filename(fullname)
        code: types.CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _spec_in(folders: Iterable[str], fullname: str) -> ModuleSpec | None:
    found = (FileFinder(folder, (_UncachedLoader, [".py"])).find_spec(fullname) for folder in folders)
    return next((spec for spec in found if spec is not None), None)


def _is_protected(top: str) -> bool:
    """Whether a module beside the job file must not take this name from everybody else."""
    return top in sys.stdlib_module_names or top in {"actors", "messages"}


def _lies_in(module: types.ModuleType | None, base_dir: str) -> bool:
    place = getattr(module, "__file__", None)
    return isinstance(place, str) and Path(place).is_relative_to(base_dir)

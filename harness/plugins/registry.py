"""One way to find an implementation: it is a module of this package, or an entry point of another installed one.

A registry names what there is without importing it; an implementation is imported when it is asked for. A plug-in that cannot be used is
one sentence with its distribution's name, told to who asks for it; everything else stays usable. A name of this package is never another's.
"""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from harness.core.errors import BadUse, Unusable
from harness.core.text import one_line

if TYPE_CHECKING:
    from harness.plugins.entry_points import Plugin


class Registry:
    """Implementations of one kind: concrete classes below `base` (`module:Class`, imported late, because it lies in a room above).

    `what` is what messages call one of them, `group` the group of entry points, `demands` what a class must have besides its methods.
    A module of the package `package` is called as its file is, with `-` for `_`. With `many`, modules in folders below it count, too, and
    one module or entry point may give several.
    """

    def __init__(self, what: str, group: str, package: str, base: str, *, demands: tuple[str, ...], many: bool = False) -> None:
        self.what, self.group = what, group
        self._package, self._base, self._demands, self._many = package, base, demands, many
        self._plugged: dict[str, list[Plugin]] | None = None
        self._loaded: dict[str, tuple[type[Any], ...]] = {}

    def built_in(self) -> dict[str, str]:
        """Name → module, of this package. Nothing of them is imported."""
        paths = import_module(self._package).__path__
        prefix = f"{self._package}."
        found = pkgutil.walk_packages(paths, prefix) if self._many else pkgutil.iter_modules(paths, prefix)
        return {module.name.removeprefix(prefix).replace("_", "-"): module.name for module in found if not module.ispkg}

    def plugged_in(self) -> Mapping[str, list[Plugin]]:
        """Name → what other packages give under it. Looked for once in a process, and only when a name is none of this package's."""
        if self._plugged is None:
            from harness.plugins import entry_points  # 30 ms, which no `--help` waits for

            self._plugged = entry_points.plugins(self.group)
        return self._plugged

    def names(self) -> list[str]:
        """What there is, whether it can be used or not."""
        return sorted({*self.built_in(), *self.plugged_in()})

    def get(self, name: str) -> type[Any]:
        """The one implementation of that name. Raises BadUse, with the names there are, when there is none; Unusable when the plug-in that
        gives it cannot be used."""
        [one] = self.load(name)
        return one

    def load(self, name: str) -> tuple[type[Any], ...]:
        """All that the module or entry point of that name offers; raises as `get` does."""
        if name not in self._loaded:
            own = self.built_in()
            self._loaded[name] = self._offered(import_module(own[name])) if name in own else self._of_plugin(name)
        return self._loaded[name]

    def own(self) -> dict[str, tuple[type[Any], ...]]:
        """Name → what this product's own modules give. Imports them all."""
        return {name: self.load(name) for name in sorted(self.built_in())}

    def usable(self) -> dict[str, tuple[type[Any], ...]]:
        """Name → what can be used of it, this product's own first. Imports them all; what cannot be used, `faults` tells."""
        found = self.own()
        for name in sorted(self.plugged_in().keys() - found):
            try:
                found[name] = self.load(name)
            except Unusable:
                continue
        return found

    def faults(self) -> list[str]:
        """Why plug-ins cannot be used, a sentence each. Imports them all."""
        found = []
        for name, plugins in sorted(self.plugged_in().items()):
            if name in self.built_in():
                found += [self._unusable(one, f"the name {name} is this product's own, so give it another") for one in plugins]
                continue
            try:
                self.load(name)
            except Unusable as fault:
                found.append(str(fault))
        return found

    def unusable(self, name: str, why: str) -> str:
        """The sentence on the plug-in of that name which somebody found unfit for a reason of his own."""
        return self._unusable(self.plugged_in()[name][0], why)

    def _of_plugin(self, name: str) -> tuple[type[Any], ...]:
        if name not in self.plugged_in():
            raise BadUse(f"there is no {self.what} {name}; known: {', '.join(self.names())}")
        first, *others = self.plugged_in()[name]
        if others:
            raise Unusable(self._unusable(first, f"{others[0].package} gives the same name, so remove one of the two"))
        try:
            offered = self._offered(first.load())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's module does while it is imported, sys.exit() included
            why = one_line(f"{type(error).__name__}: {error}")
            raise Unusable(self._unusable(first, f"it cannot be imported ({why})")) from error
        if not offered or (len(offered) > 1 and not self._many):
            wanted = f"{'classes that are' if self._many else 'one class that is'} derived from {self._base.partition(':')[2]}"
            raise Unusable(
                self._unusable(first, f"{first.value} does not give {wanted}, with {', '.join(self._demands)} and all its methods")
            )
        return offered

    def _offered(self, found: object) -> tuple[type[Any], ...]:
        """Of a class itself; of a module what it defines, and not what it imported."""
        if isinstance(found, ModuleType):
            return tuple(one for one in vars(found).values() if self._fits(one) and one.__module__ == found.__name__)
        return (found,) if inspect.isclass(found) and self._fits(found) else ()

    def _fits(self, one: object) -> bool:
        module, _, name = self._base.partition(":")
        base = getattr(import_module(module), name)
        whole = inspect.isclass(one) and issubclass(one, base) and not inspect.isabstract(one)
        return whole and all(hasattr(one, demanded) for demanded in self._demands)

    def _unusable(self, plugin: Plugin, why: str) -> str:
        return f"the plug-in {plugin.package} ({self.group}: {plugin.name} = {plugin.value}) cannot be used: {why}"

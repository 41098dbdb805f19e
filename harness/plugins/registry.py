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
from harness.core.text.host_text import one_line

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
        modules = pkgutil.walk_packages(paths, prefix) if self._many else pkgutil.iter_modules(paths, prefix)
        return {module.name.removeprefix(prefix).replace("_", "-"): module.name for module in modules if not module.ispkg}

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
        [implementation] = self.load(name)
        return implementation

    def load(self, name: str) -> tuple[type[Any], ...]:
        """All that the module or entry point of that name offers; raises as `get` does."""
        if name not in self._loaded:
            built_in = self.built_in()
            self._loaded[name] = self._find_classes(import_module(built_in[name])) if name in built_in else self._load_plugin(name)
        return self._loaded[name]

    def built_in_classes(self) -> dict[str, tuple[type[Any], ...]]:
        """Name → what this product's own modules give. Imports them all."""
        return {name: self.load(name) for name in sorted(self.built_in())}

    def usable(self) -> dict[str, tuple[type[Any], ...]]:
        """Name → what can be used of it, this product's own first. Imports them all; what cannot be used, `faults` tells."""
        implementations = self.built_in_classes()
        for name in sorted(self.plugged_in().keys() - implementations):
            try:
                implementations[name] = self.load(name)
            except Unusable:
                continue
        return implementations

    def faults(self) -> list[str]:
        """Why plug-ins cannot be used, a sentence each. Imports them all."""
        sentences = []
        for name, plugins in sorted(self.plugged_in().items()):
            if name in self.built_in():
                sentences += [
                    self._unusable_sentence(plugin, f"the name {name} is this product's own, so give it another") for plugin in plugins
                ]
                continue
            try:
                self.load(name)
            except Unusable as fault:
                sentences.append(str(fault))
        return sentences

    def unusable(self, name: str, reason: str) -> str:
        """The sentence on the plug-in of that name which somebody found unfit for a reason of his own."""
        return self._unusable_sentence(self.plugged_in()[name][0], reason)

    def _load_plugin(self, name: str) -> tuple[type[Any], ...]:
        if name not in self.plugged_in():
            raise BadUse(f"there is no {self.what} {name}; known: {', '.join(self.names())}")
        plugin, *duplicates = self.plugged_in()[name]
        if duplicates:
            raise Unusable(self._unusable_sentence(plugin, f"{duplicates[0].package} gives the same name, so remove one of the two"))
        try:
            offered = self._find_classes(plugin.load())
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's module does while it is imported, sys.exit() included
            reason = one_line(f"{type(error).__name__}: {error}")
            raise Unusable(self._unusable_sentence(plugin, f"it cannot be imported ({reason})")) from error
        if not offered or (len(offered) > 1 and not self._many):
            demand = f"{'classes that are' if self._many else 'one class that is'} derived from {self._base.partition(':')[2]}"
            raise Unusable(
                self._unusable_sentence(
                    plugin, f"{plugin.value} does not give {demand}, with {', '.join(self._demands)} and all its methods"
                )
            )
        return offered

    def _find_classes(self, target: object) -> tuple[type[Any], ...]:
        """Of a class itself; of a module what it defines, and not what it imported."""
        if isinstance(target, ModuleType):
            return tuple(value for value in vars(target).values() if self._is_implementation(value) and value.__module__ == target.__name__)
        return (target,) if inspect.isclass(target) and self._is_implementation(target) else ()

    def _is_implementation(self, value: object) -> bool:
        module, _, name = self._base.partition(":")
        base = getattr(import_module(module), name)
        is_concrete = inspect.isclass(value) and issubclass(value, base) and not inspect.isabstract(value)
        return is_concrete and all(hasattr(value, demanded) for demanded in self._demands)

    def _unusable_sentence(self, plugin: Plugin, reason: str) -> str:
        return f"the plug-in {plugin.package} ({self.group}: {plugin.name} = {plugin.value}) cannot be used: {reason}"

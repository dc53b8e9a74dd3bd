"""An object that compares, counts, prints as the value in it does."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

__all__ = ["Likeness", "bare"]


def bare(value: Any) -> Any:
    """The plain value, also of a likeness."""
    return value._value if isinstance(value, Likeness) else value


def _on(operation: Callable[..., Any]) -> Callable[[Likeness], Any]:
    return lambda self: operation(self._value)


def _with(operation: Callable[[Any, Any], Any]) -> Callable[[Likeness, Any], Any]:
    return lambda self, other: operation(self._value, bare(other))


def _after(operation: Callable[[Any, Any], Any]) -> Callable[[Likeness, Any], Any]:
    return lambda self, other: operation(other, self._value)


_ARITHMETIC = [getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow")]


class Likeness:
    """Stands for a value, which `getValue()` gives plain."""

    __slots__ = ("_value",)
    _value: Any

    def getValue(self) -> Any:
        """The plain value."""
        return self._value

    __float__, __int__, __bool__ = _on(float), _on(int), _on(bool)
    __str__, __repr__, __len__, __iter__ = _on(str), _on(repr), _on(len), _on(iter)
    __neg__, __pos__, __abs__ = _on(operator.neg), _on(operator.pos), _on(abs)
    __eq__, __ne__ = _with(operator.eq), _with(operator.ne)
    __lt__, __le__, __gt__, __ge__ = (_with(o) for o in (operator.lt, operator.le, operator.gt, operator.ge))
    __contains__, __getitem__, __format__ = _with(operator.contains), _with(operator.getitem), _with(format)
    __add__, __sub__, __mul__, __truediv__, __floordiv__, __mod__, __pow__ = (_with(o) for o in _ARITHMETIC)
    __radd__, __rsub__, __rmul__, __rtruediv__, __rfloordiv__, __rmod__, __rpow__ = (_after(o) for o in _ARITHMETIC)

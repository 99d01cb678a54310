"""A plan as a program gets it, and as a person reads it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Self

from federation.api.html import table_html, text_html
from federation.config.model import Config
from federation.text import counted
from federation.workflows.plan import Preview

_WIDTH = 10_000
"""Wide enough for all columns."""


@dataclass(frozen=True, slots=True, repr=False)
class PlanPreview(Preview):
    """What a dispatch would do now. `plan` has the placements, `version` is the one it would get."""

    _config: Config | None = field(default=None, kw_only=True)

    @classmethod
    def of(cls, made: Preview, config: Config) -> Self:
        """The same with words for people."""
        return cls(**{each.name: getattr(made, each.name) for each in fields(Preview)}, _config=config)

    def __repr__(self) -> str:
        from federation.ui.plan_view import why

        places = (f"{place.region} {place.slots}" for place in self.plan.placements)
        return "\n".join([f"<{self._title}: {', '.join(places) or 'no place'}>", *(f"  {line}" for line in why(self))])

    def _repr_html_(self) -> str:
        from federation.ui.plan_view import plan_columns, plan_rows, why

        assert self._config is not None
        lines = list(plan_rows(self, self._config))
        columns = plan_columns(lines, _WIDTH)
        table = table_html(columns, ([line[name] for name in columns] for line in lines))
        return f"<p>{text_html(self._title)}</p>{table}" + "".join(f"<p>{text_html(line)}</p>" for line in why(self))

    @property
    def _title(self) -> str:
        return f"plan of {self.prepared.shape.id} version {self.version}, {counted(self.plan.slots, 'slot')}"

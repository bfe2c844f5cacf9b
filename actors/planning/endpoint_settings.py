"""What the aliases of one endpoint come to together: its caps, its budgets, how its limit is tuned (A10)."""

from __future__ import annotations

from collections.abc import Iterator

from actors.planning.models import BUDGETS
from messages.job import ModelConfig, Problem, RequestAdmissionTuning
from messages.request_admission import ProviderModelKey, RequestBudgets

_DEFAULT_TUNING = RequestAdmissionTuning()


class EndpointSettings:
    """The settings of one provider's model, from every alias that stands for it.

    Of caps and budgets the least that is given holds. An alias that leaves `limit` at its defaults takes
    that of the others; those that give it must agree.
    """

    def __init__(self, endpoint: ProviderModelKey) -> None:
        self.endpoint = endpoint
        self._models: dict[str, ModelConfig] = {}

    def add(self, alias: str, model: ModelConfig) -> None:
        """Count one more alias in."""
        self._models[alias] = model

    @property
    def raw_caps(self) -> dict[str, int]:
        """Each alias's own cap."""
        return {alias: model.max_parallel_requests for alias, model in self._models.items()}

    @property
    def static_cap(self) -> int:
        """Attempts in flight at once, at least 1."""
        return max(1, min(self.raw_caps.values()))

    @property
    def budgets(self) -> RequestBudgets:
        """What may be used in a minute (A13)."""
        return RequestBudgets(**{name: min(given.values()) for name, given in self._raw_budgets().items()})

    @property
    def tuning(self) -> RequestAdmissionTuning:
        """How its limits move."""
        given = (model.limit for model in self._models.values() if model.limit != _DEFAULT_TUNING)
        return next(given, _DEFAULT_TUNING)

    @property
    def effective_max(self) -> int:
        """The most that a limit can be: the static cap, or the clamp below it (A2)."""
        maximum = self.tuning.maximum
        return self.static_cap if maximum is None else max(1, min(self.static_cap, maximum))

    @property
    def initial_limit(self) -> int:
        """Where a limit begins, or where its startup ramp leads: 1 to the effective maximum (A2)."""
        initial = self.tuning.initial
        return self.effective_max if initial is None else max(1, min(self.effective_max, initial))

    def warnings(self) -> Iterator[str]:
        """Yield a line for every cap and budget that its aliases disagree about."""
        for what, given in {"caps": self.raw_caps, **self._raw_budgets()}.items():
            if len(set(given.values())) > 1:
                told = ", ".join(f"{alias} {value}" for alias, value in given.items())
                least = min(given.values())
                yield (
                    f"{self.endpoint.name}: its aliases have different {what} ({told}); "
                    f"the least, {least}, holds for all of them"
                )

    def problems(self) -> Iterator[Problem]:
        """Yield a problem for every alias whose `limit` is another than the first one's that gives it."""
        given = {
            alias: model.limit for alias, model in self._models.items() if model.limit != _DEFAULT_TUNING
        }
        first = next(iter(given), "")
        for alias, limit in given.items():
            if limit != given[first]:
                yield Problem(
                    f"models.{alias}.limit",
                    f"differs from that of models.{first}, which is {self.endpoint.name} too",
                    "give it once, or the same in both",
                    tuple(
                        f"models.{each}.{key}"
                        for each in (first, alias)
                        for key in ("limit", "model", "provider", "providers")
                    ),
                )

    def _raw_budgets(self) -> dict[str, dict[str, int]]:
        """Return what each alias gives of each budget, where any does."""
        raw = {
            name: {
                alias: budget
                for alias, model in self._models.items()
                if (budget := getattr(model, name)) is not None
            }
            for name in BUDGETS
        }
        return {name: given for name, given in raw.items() if given}

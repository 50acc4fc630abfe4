"""From accelerator hours to energy, emissions and money, each factor with its source.

    kWh = hours * watts / 1000 * PUE,     kg CO2e = kWh * (g CO2e per kWh) / 1000

The defaults are round-the-world averages and a nameplate power: good for an order of magnitude.
Measured values belong in their place; every figure names where it came from.
"""

import math
from dataclasses import dataclass, field

GIVEN = "given by the user"


@dataclass(frozen=True, kw_only=True, slots=True)
class Factor:
    """A number that somebody measured."""

    value: float
    """> 0."""
    unit: str
    """Of the value."""
    source: str
    """Who says so."""

    def __post_init__(self) -> None:
        """Refuse what is not positive and finite.

        Raises:
            ValueError: It is not.
        """
        if not (math.isfinite(self.value) and self.value > 0):
            raise ValueError(f"{self.unit} must be positive and finite, got {self.value}")


@dataclass(frozen=True, kw_only=True, slots=True)
class EnergyFactors:
    """What a GPU-hour takes."""

    power: Factor = field(
        default_factory=lambda: Factor(
            value=700.0,
            unit="watts per GPU",
            source="largest power of an H100 SXM (NVIDIA data sheet): an upper bound",
        )
    )
    """Of one GPU while it trains."""
    overhead: Factor = field(
        default_factory=lambda: Factor(
            value=1.58,
            unit="PUE",
            source="industry average of 2023 (Uptime Institute Global Data Center Survey)",
        )
    )
    """Power of the site over power of its machines."""
    emissions: Factor = field(
        default_factory=lambda: Factor(
            value=436.0,
            unit="g CO2e per kWh",
            source="world average of 2022 (Ember, Global Electricity Review 2023)",
        )
    )
    """Of the electricity."""
    price: Factor | None = None
    """Money per GPU-hour. None: unknown; there is no honest default."""

    def __post_init__(self) -> None:
        """Refuse a site that needs less than its machines.

        Raises:
            ValueError: The overhead is below 1.
        """
        if self.overhead.value < 1:
            raise ValueError(
                f"{self.overhead.unit} is power of the site over power of its machines: at least "
                f"1, got {self.overhead.value:g}"
            )

    @property
    def kwh_per_gpu_hour(self) -> float:
        """Energy of one GPU-hour at the socket of the site."""
        return self.power.value / 1000 * self.overhead.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a run takes."""

    gpu_hours: float
    """Hours of one GPU."""
    kwh: float
    """Energy with overhead."""
    kg_co2e: float
    """Emissions of that energy."""
    money: float | None
    """Price. None: no price was given."""


def cost_of(gpu_hours: float, factors: EnergyFactors) -> Cost:
    """Energy, emissions and price of some GPU-hours (>= 0)."""
    kwh = gpu_hours * factors.kwh_per_gpu_hour
    return Cost(
        gpu_hours=gpu_hours,
        kwh=kwh,
        kg_co2e=kwh * factors.emissions.value / 1000,
        money=None if factors.price is None else gpu_hours * factors.price.value,
    )

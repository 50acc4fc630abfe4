from dataclasses import replace

import numpy as np
import pytest

from training.compute_budget import (
    Spending,
    Throughput,
    spend_flops,
    spend_gpu_hours,
    spend_kwh,
    spend_money,
)
from training.compute_plan import DataLimits, plan_compute
from training.energy_factors import EnergyFactors, Factor, cost_of
from training.scaling_laws.chinchilla import ChinchillaLaw
from training.scaling_laws.data_constrained import data_constrained_loss
from training.scaling_laws.scaling_record import ScalingRecord

LAW = ChinchillaLaw(A=480.0, B=2000.0, E=1.8, alpha=0.35, beta=0.37)
REFITS = tuple(
    replace(LAW, E=1.8 + 0.01 * x, alpha=0.35 + 0.002 * x, beta=0.37 - 0.002 * x)
    for x in np.linspace(-1, 1, 21)
)
RECORD = ScalingRecord(law=LAW, refits=REFITS, level=0.9, largest_flops=1e20)
TOKENS = {"web": 4e9, "code": 1e9}


def test_the_best_plan_is_the_optimum_of_the_law():
    plan = plan_compute(RECORD, spend_flops(1e21))
    best = LAW.optimal_allocation(1e21)
    assert plan.params.value == pytest.approx(best.params, rel=1e-4)
    assert plan.tokens.value == pytest.approx(best.tokens, rel=1e-4)
    assert plan.loss.value == pytest.approx(float(LAW.predict(best.params, best.tokens)))
    assert plan.params.low < plan.params.value < plan.params.high
    assert plan.loss.low < plan.loss.value < plan.loss.high
    assert plan.penalty_nats.value == pytest.approx(0, abs=1e-12)
    assert (plan.wasted_share, plan.beyond_runs) == (0, pytest.approx(10))


def test_the_curve_is_the_budget_and_its_lowest_point_the_best():
    plan = plan_compute(RECORD, spend_flops(1e21))
    sizes = np.array([one.params for one in plan.curve])
    losses = np.array([one.loss.value for one in plan.curve])
    np.testing.assert_allclose([6 * one.params * one.tokens for one in plan.curve], 1e21)
    np.testing.assert_allclose(losses, LAW.predict(sizes, 1e21 / 6 / sizes))
    assert sizes[losses.argmin()] == pytest.approx(plan.best_params)
    assert all(one.loss.low <= one.loss.value <= one.loss.high for one in plan.curve)


def test_off_the_optimum_the_penalty_is_what_the_law_says():
    size = 3 * LAW.optimal_allocation(1e21).params
    plan = plan_compute(RECORD, spend_flops(1e21), params=size)
    best = LAW.optimal_allocation(1e21)
    penalty = LAW.predict(size, 1e21 / 6 / size) - LAW.predict(best.params, best.tokens)
    assert plan.penalty_nats.value == pytest.approx(float(penalty), rel=1e-6)
    saved = LAW.optimal_allocation((1 - plan.wasted_share) * 1e21)
    assert float(LAW.predict(saved.params, saved.tokens)) == pytest.approx(plan.loss.value)


def test_inference_makes_the_model_smaller_and_shares_the_budget():
    alone = plan_compute(RECORD, spend_flops(1e21))
    served = plan_compute(RECORD, spend_flops(1e21), inference_tokens=1e12)
    assert served.params.value < alone.params.value
    assert served.flops + served.inference_flops == pytest.approx(1e21)
    assert served.inference_flops == pytest.approx(2 * served.params.value * 1e12)
    around = served.params.value * np.array([0.97, 1.0, 1.03])
    losses = LAW.predict(around, (1e21 / around - 2e12) / 6)
    assert losses.argmin() == 1


def test_a_budget_of_tokens_plans_the_size_it_is_optimal_for():
    plan = plan_compute(RECORD, Spending(tokens=2e10))
    assert plan.tokens.value == pytest.approx(2e10)
    assert plan.params.value == pytest.approx(LAW.params_optimal_for(2e10))
    chosen = plan_compute(RECORD, Spending(tokens=2e10), params=1e8)
    assert (chosen.params.value, chosen.tokens.value) == (1e8, pytest.approx(2e10))


def test_repeated_tokens_count_for_less():
    data = DataLimits(available_tokens=TOKENS, max_epochs=10)
    plan = plan_compute(RECORD, spend_flops(1e20), data=data)
    loss = data_constrained_loss(
        LAW, params=plan.params.value, tokens=plan.tokens.value, unique_tokens=5e9
    )
    assert plan.loss.value == pytest.approx(loss)
    assert plan.loss.value > plan_compute(RECORD, spend_flops(1e20)).loss.value


def test_plans_beyond_the_data_are_refused_with_the_largest_that_is_not():
    data = DataLimits(available_tokens=TOKENS, max_epochs=1)
    with pytest.raises(ValueError, match="largest feasible budget is 5e\\+09 tokens") as no:
        plan_compute(RECORD, spend_flops(1e21), data=data)
    flops = float(str(no.value).split("5e+09 tokens, ")[1].split(" ")[0])
    plan_compute(RECORD, spend_flops(flops * 0.9), data=data)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spending": Spending()}, "either FLOPs or tokens"),
        ({"params": -1.0}, "params must be positive"),
        ({"inference_tokens": float("nan")}, "inference_tokens must be"),
        ({"spending": Spending(tokens=1e9), "inference_tokens": 1.0}, "needs a budget in FLOPs"),
        ({"params": 1e9, "inference_tokens": 1e13}, "takes the whole budget"),
        ({"record": replace(RECORD, refits=REFITS[:5])}, "holds 5 refits"),
    ],
)
def test_plan_rejects(arguments, message):
    fields = {"record": RECORD, "spending": spend_flops(1e21)}
    with pytest.raises(ValueError, match=message):
        plan_compute(**{**fields, **arguments})


def test_data_limits_reject():
    for tokens, epochs in (({}, 4), ({"a": 0.0}, 4), ({"a": -1.0}, 4), ({"a": 1.0}, 0)):
        with pytest.raises(ValueError, match=r"available tokens|max_epochs"):
            DataLimits(available_tokens=tokens, max_epochs=epochs)


FACTORS = EnergyFactors(
    power=Factor(value=500.0, unit="watts per GPU", source="test"),
    overhead=Factor(value=1.2, unit="PUE", source="test"),
    emissions=Factor(value=100.0, unit="g CO2e per kWh", source="test"),
    price=Factor(value=2.0, unit="money per GPU-hour", source="test"),
)


def test_cost_worked_by_hand():
    cost = cost_of(10.0, FACTORS)
    assert (cost.gpu_hours, cost.kwh, cost.kg_co2e, cost.money) == (10, 6.0, 0.6, 20.0)
    assert cost_of(10.0, EnergyFactors()).money is None
    assert all(one.source for one in (EnergyFactors().power, EnergyFactors().overhead))


def test_every_kind_of_budget_says_the_same():
    speed = Throughput(tokens_per_second=1000.0, params=1e9)
    by_hours = spend_gpu_hours(10.0, speed)
    assert by_hours == Spending(flops=10 * 3600 * 1000 * 6e9)
    assert spend_kwh(6.0, speed, FACTORS).flops == pytest.approx(by_hours.flops)
    assert spend_money(20.0, speed, FACTORS).flops == pytest.approx(by_hours.flops)
    own = Throughput(tokens_per_second=1000.0)
    assert spend_gpu_hours(10.0, own) == Spending(tokens=3.6e7)


def test_hours_of_a_plan_scale_with_the_size():
    assert Throughput(tokens_per_second=1000.0).gpu_hours(params=5e9, tokens=3.6e6) == 1
    measured = Throughput(tokens_per_second=1000.0, params=1e9)
    assert measured.gpu_hours(params=5e9, tokens=3.6e6) == pytest.approx(5)


def test_budgets_reject():
    speed = Throughput(tokens_per_second=1.0)
    with pytest.raises(ValueError, match="flops must be positive"):
        spend_flops(0.0)
    with pytest.raises(ValueError, match="gpu_hours must be positive"):
        spend_gpu_hours(-1.0, speed)
    with pytest.raises(ValueError, match="kwh must be positive"):
        spend_kwh(0.0, speed, FACTORS)
    with pytest.raises(ValueError, match="money must be positive"):
        spend_money(0.0, speed, FACTORS)
    with pytest.raises(ValueError, match="needs the price"):
        spend_money(1.0, speed, EnergyFactors())
    with pytest.raises(ValueError, match="tokens_per_second must be"):
        Throughput(tokens_per_second=0.0)
    with pytest.raises(ValueError, match="measured params must be"):
        Throughput(tokens_per_second=1.0, params=-1.0)
    with pytest.raises(ValueError, match="PUE must be positive"):
        Factor(value=0.0, unit="PUE", source="test")

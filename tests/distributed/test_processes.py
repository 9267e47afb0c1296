"""Two processes end where one does with the whole batches, whatever each of them holds of the model."""

from typing import Any

import pytest

Found = dict[str, Any]
EXACT = 1e-10  # in float64, of weights about 1; what is left is the order of sums
CASES = 36  # 8 penalties in 2 ways and 2 balls by prox, each in 2 optimisers


def off(found: Found, other: Found) -> float:
    """The largest difference of a weight."""
    assert found["weights"].keys() == other["weights"].keys()
    return max(float((found["weights"][name] - other["weights"][name]).abs().max()) for name in found["weights"])


def of(found: Found, prefix: str) -> Found:
    return {name.removeprefix(prefix): result for name, result in found.items() if name.startswith(prefix)}


def refuse_differences(found: Found, expected: Found) -> None:
    """Raise where weights are not the same, or what is logged; the norms in a log are sums in float32."""
    for name, run in found.items():
        assert off(run, expected[name]) < EXACT, name
        assert run["log"] == pytest.approx(expected[name]["log"], rel=1e-6), name
        assert run["log"]["tether/value"] == pytest.approx(expected[name]["log"]["tether/value"], rel=EXACT), name
        seen, acted = run["steps"]
        assert expected[name]["steps"] == (seen, acted), name
        assert seen == acted > 0, name


def test_ddp_is_one_process_with_the_whole_batches(first: Found):
    expected = of(first, "ddp/one process/")
    before, after = of(first, "ddp/tether before/"), of(first, "ddp/tether after/")
    assert len(before) == len(expected) == CASES
    assert len(after) == 4
    refuse_differences(before, expected)
    refuse_differences(after, expected)


def test_fully_shard_is_ddp(first: Found):
    expected = of(first, "ddp/tether before/")
    whole, sharded = of(first, "fsdp/whole references/"), of(first, "fsdp/sharded references/")
    assert len(whole) == CASES - 6  # no FrobeniusBall, and no groups of whole tensors
    assert len(sharded) == 4
    refuse_differences(whole, expected)
    refuse_differences(sharded, expected)
    for name, run in whole.items():
        assert run["summary"] == expected[name]["summary"], name


def test_a_step_sends_nothing_beyond_what_torch_sends(first: Found):
    assert {run["sent"] for run in of(first, "fsdp/").values()} == {0}


def test_a_process_may_hold_nothing_of_a_parameter(processes: tuple[Found, Found]):
    rows = [{run["of gate here"] for run in of(found, "fsdp/").values()} for found in processes]
    assert rows == [{5}, {0}]


def test_every_process_tells_the_same(processes: tuple[Found, Found]):
    first, second = processes
    assert first.keys() == second.keys()
    runs = {name: run for name, run in first.items() if isinstance(run, dict) and "log" in run}
    assert len(runs) > 2 * CASES
    for name, run in runs.items():
        other = second[name]
        assert off(run, other) == 0, name
        for told in ("log", "summary", "steps"):
            assert run[told] == other[told], name


def test_the_penalty_acts_in_every_case(first: Found):
    """Nothing above can hold because nothing is pulled: each case ends elsewhere, and balls end on their border."""
    runs = of(first, "ddp/one process/")
    for optimiser in ("SGD", "AdamW"):
        own = {name: run for name, run in runs.items() if name.endswith(optimiser)}
        assert all(run["log"]["tether/displacement"] > 0.01 for run in own.values())
        names = list(own)
        for at, name in enumerate(names):
            assert all(off(own[name], own[other]) > 1e-6 for other in names[at + 1 :]), name
    ball = runs["FrobeniusBall by prox in SGD"]
    delta = ball["weights"]["body.weight"] - ball["start"]["body.weight"]
    assert float(delta.norm()) == pytest.approx(0.05)


def test_l1_leaves_the_same_weights_at_the_source_on_shards(first: Found):
    for kind in ("ddp/tether before", "fsdp/whole references"):
        run = first[f"{kind}/L2 + L1 by prox in SGD"]
        still = run["weights"]["body.weight"] == run["start"]["body.weight"]
        assert 0 < int(still.sum()) < still.numel()


@pytest.mark.parametrize(
    ("case", "layouts"),
    [
        ("metric", ["sharded"]),
        ("foreach", ["sharded"]),
        ("fused", ["sharded"]),
        ("one new row by gradient", ["whole", "sharded"]),
        ("one new row by prox", ["whole", "sharded"]),
        ("layout by gradient", ["partly sharded", "mesh (2, 1)", "mesh (1, 2)"]),
        ("layout by prox", ["partly sharded", "mesh (2, 1)", "mesh (1, 2)"]),
        ("columns by gradient", ["sharded"]),
        ("columns by prox", ["sharded"]),
    ],
)
def test_every_layout_is_one_process(case: str, layouts: list[str], first: Found):
    for layout in layouts:
        refuse_differences({layout: first[f"layouts/{layout}/{case}"]}, {layout: first[f"layouts/one process/{case}"]})


def test_every_process_gathers_a_weak_pull_as_long_as_one_would(processes: tuple[Found, Found]):
    for found in processes:
        one, sharded = found["layouts/one process/gathered"], found["layouts/sharded/gathered"]
        assert sharded["every"] == one["every"]
        assert sharded["gathered"] == one["gathered"]
        assert max(one["every"].values()) > 1
        assert off(sharded, one) < 1e-5  # float32, and Adam's first steps are signs


def test_the_value_is_a_term_of_a_loss(first: Found):
    one, sharded = first["once/one process/as_loss_term"], first["once/sharded/as_loss_term"]
    assert off({"weights": sharded}, {"weights": one}) < EXACT


@pytest.mark.parametrize("figure", ["in_closure", "other_weights", "restored"])
def test_a_figure_is_the_whole_models(figure: str, processes: tuple[Found, Found]):
    for found in processes:
        one = found[f"once/one process/{figure}"]
        assert one > 0.01
        assert found[f"once/sharded/{figure}"] == pytest.approx(one, rel=EXACT)


def test_a_new_parameter_is_not_held_to_its_own_start_on_shards(processes: tuple[Found, Found]):
    for found in processes:
        assert "would hold the new parameter `head.weight` to its own start" in found["once/sharded/own_start"]
        assert found["once/sharded/own_start"] == found["once/one process/own_start"]


@pytest.mark.parametrize("via", ["gradient", "prox"])
def test_accelerate_is_ddp(via: str, first: Found):
    found = first[f"launched/Accelerate by {via}"]
    assert found["processes"] == 2
    case = f"L2 + L1 by {via} in AdamW"
    refuse_differences({case: found}, {case: first[f"ddp/one process/{case}"]})


def test_the_blocks_of_the_page_run_and_agree(first: Found):
    ddp, fsdp = first["launched/block 0"], first["launched/block 1"]
    assert ddp["log"]["tether/steps_acted"] == 5
    refuse_differences({"page": fsdp}, {"page": ddp})

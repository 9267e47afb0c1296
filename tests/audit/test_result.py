"""What an audit prints, and what it says of itself."""

import json

from tether.audit.result import Audit, Row

PASSED = [
    Row("pull delivered", f"layer{i}.weight", "100 %", f"{share} %", True) for i, share in enumerate((100, 98, 103))
]
FAILED = [Row("pull delivered", f"head.{name}", "100 %", "0 %", False, "hooks are lost") for name in ("weight", "bias")]
UNKNOWN = Row("resume", "one more step", "same bits", "–", None, "no step was taken")


def test_what_failed_comes_first_together_and_then_what_is_not_known() -> None:
    found = Audit("l2_sp", (*PASSED, UNKNOWN, *FAILED))
    assert str(found).splitlines() == [
        "audit: failed, 2 of 6 checks, 1 of them not made · l2_sp",
        "failed: pull delivered, `head.weight`, `head.bias`: expected 100 %, measured 0 %",
        "  hooks are lost",
        "not checked: resume, one more step: no step was taken",
        "passed          of  expected      measured",
        "pull delivered   3     100 %  98 % … 103 %",
    ]


def test_one_row_that_failed_fails_the_audit_and_one_that_is_not_known_does_not() -> None:
    assert Audit("", (*PASSED, UNKNOWN)).passed
    assert str(Audit("plan", (*PASSED, UNKNOWN))).startswith("audit: passed, 4 checks, 1 of them not made · plan\n")
    assert not Audit("", (*PASSED, FAILED[0])).passed
    assert Audit("", (*PASSED, UNKNOWN, FAILED[0])).failed == (FAILED[0],)
    assert Audit("", (*PASSED, UNKNOWN)).unchecked == (UNKNOWN,)


def test_numbers_are_ranged_by_size() -> None:
    rows = [Row("gradient", "a", "0", measured, True) for measured in ("8e-11", "0", "1e-10", "2.5e-11")]
    assert "0 … 1e-10" in str(Audit("", tuple(rows)))


def test_as_json_every_row_is_there() -> None:
    found = Audit("l2_sp", (PASSED[0], UNKNOWN, FAILED[0]))
    assert json.loads(json.dumps(found.to_json())) == {
        "plan": "l2_sp",
        "passed": False,
        "rows": [
            {
                "check": "pull delivered",
                "about": "layer0.weight",
                "expected": "100 %",
                "measured": "100 %",
                "passed": True,
                "note": "",
            },
            {
                "check": "resume",
                "about": "one more step",
                "expected": "same bits",
                "measured": "–",
                "passed": None,
                "note": "no step was taken",
            },
            {
                "check": "pull delivered",
                "about": "head.weight",
                "expected": "100 %",
                "measured": "0 %",
                "passed": False,
                "note": "hooks are lost",
            },
        ],
    }

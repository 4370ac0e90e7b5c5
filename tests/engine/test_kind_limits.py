"""A target that invents kinds of faults without end: the first are counted by name, the sum stays right."""

from collections import Counter

from ws_load_test.common.faults import Fault, FaultKind
from ws_load_test.engine.sessions.kind_limits import MAX_KINDS, KindLimits


def test_kinds_without_end_are_counted_under_other():
    kinds, codes, faults = KindLimits(["faults.closed:4321 > 0"]), Counter(), Counter()
    for code in range(3000, 5000):
        codes[kinds.code_key(code)] += 1
        faults[kinds.fault_key(Fault(FaultKind.CLOSED, str(code)))] += 1
    assert codes.total() == faults.total() == 2000
    assert len(codes) == len(faults) == MAX_KINDS + 2, "the one that a condition names, and all others"
    assert codes["4321"] == faults["closed:4321"] == codes["3000"] == 1
    assert codes["other"] == faults["closed:other"] == 2000 - MAX_KINDS - 1


def test_a_kind_without_detail_is_always_its_own():
    kinds = KindLimits()
    for status in range(MAX_KINDS):
        kinds.fault_key(Fault(FaultKind.UPGRADE_REJECTED, str(status)))
    assert kinds.fault_key(Fault(FaultKind.RESET)) == "reset"

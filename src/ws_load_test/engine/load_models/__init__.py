"""Load models: when messages leave, and on which session. A model is one module, and one line of `LOAD_MODELS`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ws_load_test.engine.load_models.closed_loop import ClosedLoopRunner
from ws_load_test.engine.load_models.open_loop import OpenLoopRunner
from ws_load_test.engine.scenario.scenario_load import ScenarioLoad
from ws_load_test.plan.load import ClosedLoop, OpenLoop, RoleLoad

if TYPE_CHECKING:
    from collections.abc import Callable

    from ws_load_test.engine.load_models.load_model import LoadModel

LOAD_MODELS: dict[type, Callable[..., LoadModel[Any]]] = {
    ClosedLoop: ClosedLoopRunner.of,
    OpenLoop: OpenLoopRunner.of,
    RoleLoad: ScenarioLoad.of,
}
"""For each kind of load in a plan, what makes the model of one worker (see `LoadModel.of`)."""

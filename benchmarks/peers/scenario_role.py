"""The scenario of scenario.py as a role in Python: five exchanges by an id, with a time to think before each."""

from __future__ import annotations

from ws_load_test import Session, role

STEPS = ("login", "list", "open", "edit", "save")
MESSAGES = [(name, f'{{"op": "{name}", "id": {{seq}}, "user": "{{random:8}}"}}') for name in STEPS]


@role
async def user(session: Session) -> None:
    """Goes through the five steps again and again."""
    async for _ in session.iterations():
        for name, message in MESSAGES:
            await session.wait("exp:500ms")
            await session.exchange(message, until="json:id={seq}", name=name)

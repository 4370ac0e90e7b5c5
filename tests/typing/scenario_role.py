"""Typed sample of a role in Python, checked and not run."""

from __future__ import annotations

from ws_load_test import Message, Session, SessionOver, role
from ws_load_test.testing import play


@role
async def player(session: Session) -> None:
    """Plays."""
    checks = ["contains:a", "json:b"]
    reply: Message = await session.exchange("{seq}", until=checks, name="ask", timeout=2, expect="json:c")
    value: str | None = reply.json("a.b[0]")
    content: bytes = reply.bytes
    words: list[Message] = []
    last: Message = await session.exchange(
        "{seq}", until="json:done", first="any", each=["json:id={seq}"], count="json:tokens", on_part=words.append
    )
    value = last.json("tokens")
    try:
        async for turn in session.iterations():
            number: int = turn
            await session.wait(number / 10)
            await session.send(content)
            await session.receive("regex:x", timeout="1s")
    except SessionOver:
        await session.send(f"{value} {session.room} {session.number}", name="bye")


@player.on("json:op=note", name="note", sequence="json:n")
def noted(session: Session, message: Message) -> None:
    """Takes a note."""
    session.values["latest"] = message.text


@role(deliver_to="reader", self_delivery="excluded")
async def writer(session: Session) -> None:
    """Publishes."""
    async for _ in session.iterations():
        await session.send('{"room": "{room}", "text": "{marker}"}', name="say")


writer.on("json:op=said", name="said")


async def test_writer() -> None:
    """Tests the writer without a server."""
    async with play(writer, room="lobby", feed={"name": "ann"}, env={"TOKEN": "x"}, protocol="phoenix") as peer:
        message: str | bytes = await peer.sent()
        peer.send(message)
        peer.tick()
        names: list[str] = peer.completed
        markers: tuple[str, ...] = peer.markers
        code: int = await peer.closed()
        assert names == ["say"] or markers or code == 1000

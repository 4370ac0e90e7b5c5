"""Stand-ins for servers that a test cannot install: each keeps a log of its own, to which a run is compared.

They know what the examples of `examples/scenarios` say of their servers, and no more.
"""

import asyncio
import itertools
import json
import time
from collections import Counter, defaultdict

from websockets.asyncio.server import broadcast, serve
from websockets.exceptions import ConnectionClosed


class Standin:
    """A server of sessions and rooms in the running loop; an async context manager."""

    def __init__(self):
        self.options = {}
        """Further options of `serve`."""
        self.log = Counter()
        """Events by kind, counted as they happen."""
        self.rooms = defaultdict(set)
        """Members of rooms."""
        self.sessions = {}
        """Open sessions, and what is kept of each."""
        self.tasks = []
        """What it does beside its sessions."""

    async def __aenter__(self):
        self._server = await serve(self._session, "127.0.0.1", 0, **self.options)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *failure):
        await asyncio.gather(*self.tasks)
        self._server.close()
        await self._server.wait_closed()

    async def _session(self, connection):
        self.log["sessions"] += 1
        self.sessions[connection] = {}
        try:
            await self.greet(connection)
            async for text in connection:
                await self.receive(connection, json.loads(text))
        except ConnectionClosed:
            self.log["lost"] += 1
        finally:
            self.log["over"] += 1
            del self.sessions[connection]
            for members in self.rooms.values():
                members.discard(connection)

    async def send(self, connection, message, kind=None):
        """Sends a message, and counts it under its kind."""
        if kind is not None:
            self.log[kind] += 1
        await connection.send(json.dumps(message))

    def deliver(self, room, message, without=None):
        """Sends a message to a room, and counts its deliveries."""
        members = self.rooms[room] - {without}
        self.log["published"] += 1
        self.log["deliveries"] += len(members)
        broadcast(members, json.dumps(message))

    async def greet(self, connection):
        """Begins a session."""

    async def receive(self, connection, message):
        """Takes a message."""
        raise NotImplementedError


class Chat(Standin):
    """A chat whose sessions are in one room each, and that keeps a history."""

    async def receive(self, connection, message):
        own = self.sessions[connection]
        kind = message["op"]
        self.log[kind] += 1
        if kind == "join":
            own["room"] = message["room"]
            self.log["nicks"] += message["nick"].startswith("n")
            self.rooms[own["room"]].add(connection)
            await self.send(connection, {"op": "joined", "last": 41})
        elif kind == "say":
            self.deliver(own["room"], {"op": "say", "text": message["text"]}, without=connection)
            await self.send(connection, {"op": "said", "id": message["id"]})
        elif kind == "history":
            self.log["history before 41"] += message["before"] == 41
            await self.send(connection, {"id": message["id"], "messages": []})
        elif kind == "typing":
            others = self.rooms[own["room"]] - {connection}
            self.log["typing sent on"] += len(others)
            broadcast(others, json.dumps({"op": "typing"}))
        elif kind == "leave":
            self.rooms[own["room"]].discard(connection)
            await self.send(connection, {"op": "left"})


class Nodes(Standin):
    """Two nodes behind one address that share their rooms; a request for `/restart` restarts the first one."""

    def __init__(self):
        super().__init__()
        self.options = {"process_request": self._request, "process_response": self._response}
        self._names = itertools.cycle("ab")
        self._nodes = {}

    async def _request(self, connection, request):
        if request.path != "/restart":
            return None
        self.log["restarts"] += 1
        for one in [one for one in self.sessions if self._nodes[one] == "a"]:
            self.log["closed"] += 1
            for members in self.rooms.values():
                members.discard(one)
            # Not awaited here: a node closes all of its sessions at once.
            self.tasks.append(asyncio.create_task(one.close(1012)))
        return connection.respond(200, "restarted\n")

    def _response(self, connection, _request, response):
        if response.status_code == 101:
            self._nodes[connection] = next(self._names)
            self.log[f"opened on {self._nodes[connection]}"] += 1
            response.headers["X-Served-By"] = self._nodes[connection]
        return response

    async def receive(self, connection, message):
        self.log[message["op"]] += 1
        if message["op"] == "join":
            self.rooms[message["room"]].add(connection)
            await self.send(connection, {"op": "joined"})
        else:
            (room,) = (name for name, members in self.rooms.items() if connection in members)
            self.deliver(room, message)


class Gateway(Standin):
    """An API gateway that routes by action, whose function fails for every fifth message that is sent."""

    async def receive(self, connection, message):
        self.log[message["action"]] += 1
        if message["action"] == "join":
            self.log["tokens"] += connection.request.path.startswith("/production?auth=t")
            self.rooms[message["room"]].add(connection)
            await self.send(connection, {"joined": message["room"], "id": message["id"]})
        elif message["action"] == "send" and self.log["send"] % 5 == 0:
            await self.send(connection, {"message": "Internal server error", "requestId": "1"}, "errors")
        elif message["action"] == "send":
            self.deliver(message["room"], {"text": message["text"]})


class Phoenix(Standin):
    """Channels of Phoenix in JSON 2.0.0: a `shout` is replied to and broadcast, and members see who else joins."""

    async def receive(self, connection, message):
        join_ref, ref, topic, event, payload = message
        self.log[event] += 1
        if event == "phx_join":
            self.log["presence"] += len(self.rooms[topic])
            broadcast(self.rooms[topic], json.dumps([None, None, topic, "presence_diff", {"joins": {}, "leaves": {}}]))
            self.rooms[topic].add(connection)
        elif event == "shout":
            self.deliver(topic, [None, None, topic, event, payload])
        await self.send(connection, [join_ref, ref, topic, "phx_reply", {"status": "ok", "response": {}}])


class MarketData(Standin):
    """Prices with numbers for each symbol: some are left out, some come twice, and a snapshot begins them anew."""

    listeners = 4
    """Sessions, after whose subscriptions the prices begin."""

    async def receive(self, connection, message):
        self.log[message["op"]] += 1
        self.log["deflated"] += any(one.name == "permessage-deflate" for one in connection.protocol.extensions)
        self.sessions[connection] = {"symbols": message["symbols"], "numbers": Counter()}
        await self.send(connection, {"op": "subscribed"})
        if self.log["subscribe"] == self.listeners:
            self.tasks.append(asyncio.create_task(self._send_prices()))

    async def _send_prices(self):
        """Sends what there is well before the sessions leave, which read nothing more then."""
        for turn in range(1, 121):
            for connection, own in self.sessions.items():
                self._send_price(connection, own, turn)
            if turn % 6 == 0:
                await asyncio.sleep(0.01)

    def _send_price(self, connection, own, turn):
        numbers, symbol = own["numbers"], own["symbols"][turn % 4]
        if turn % 7 == 0 and symbol in numbers:
            numbers[symbol] += 2
            self.log["gaps"] += 1
            self.log["left out"] += 2
        numbers[symbol] += 1
        tick = {"op": "tick", "symbol": symbol, "n": numbers[symbol], "sent_ms": int(time.time() * 1000)}
        copies = 2 if turn % 11 == 0 else 1
        self.log["ticks"] += copies
        self.log["repeats"] += copies - 1
        for _ in range(copies):
            broadcast([connection], json.dumps(tick))
        if turn % 23 == 0:
            self.log["snapshots"] += 1
            numbers.clear()
            broadcast([connection], json.dumps({"op": "snapshot"}))


class LanguageModel(Standin):
    """A language model with the events of a realtime API, which speaks first and streams its answers."""

    async def greet(self, connection):
        request = connection.request
        self.log["keys"] += request.headers.get("Authorization") == "Bearer api_key-of-mine"
        self.log["models"] += request.path.endswith("?model=model-of-mine")
        await self.send(connection, {"type": "session.created"}, "session.created")

    async def receive(self, connection, message):
        kind = message["type"]
        self.log[kind] += 1
        if kind == "session.update":
            await self.send(connection, {"type": "session.updated", "session": message["session"]})
        elif kind == "conversation.item.create":
            self.log["questions"] += message["item"]["content"][0]["text"] == "Why?"
            await self.send(connection, {"type": "conversation.item.added"}, "events beside")
        elif kind == "response.create":
            await self.send(connection, {"type": "response.created"}, "of answers")
            words = 2 + self.log[kind] % 3
            for _ in range(words):
                await asyncio.sleep(0.005)
                await self.send(connection, {"type": "response.output_text.delta", "delta": "x"}, "of answers")
            self.log["tokens"] += words
            usage = {"output_tokens": words}
            done = {"type": "response.done", "response": {"status": "completed", "usage": usage}}
            await self.send(connection, done, "of answers")
            self.log["answers"] += 1

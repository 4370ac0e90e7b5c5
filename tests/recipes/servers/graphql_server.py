"""A real GraphQL server: ariadne under uvicorn."""

import asyncio
from collections import Counter, defaultdict

from ariadne import MutationType, QueryType, SubscriptionType, make_executable_schema
from ariadne.asgi import GraphQL
from ariadne.asgi.handlers import GraphQLTransportWSHandler
from serving import asgi, seen

query = QueryType()
mutation = MutationType()
subscription = SubscriptionType()
listeners = defaultdict(set)
"""Queues of those who listen, by their rooms."""
versions = Counter()
"""Versions of documents."""


@query.field("room")
def room(_object, _info, name):
    seen["queries"] += 1
    return {"name": name, "members": 3}


@subscription.source("spoken")
async def spoken(_object, _info, room):
    seen["subscriptions"] += 1
    yield {"room": room, "text": "hello"}
    await asyncio.sleep(0.05)
    yield {"room": room, "text": "goodbye"}


@subscription.field("spoken")
def _spoken(event, _info, room):
    return event


@mutation.field("post")
def post(_object, _info, room, text):
    seen["posts"] += 1
    for queue in listeners[room]:
        queue.put_nowait({"room": room, "text": text})
    return {"room": room, "text": text}


@subscription.source("posted")
async def posted(_object, _info, room):
    queue = asyncio.Queue()
    listeners[room].add(queue)
    seen[f"listens {room}"] += 1
    try:
        while True:
            yield await queue.get()
    finally:
        listeners[room].discard(queue)


@subscription.field("posted")
def _posted(event, _info, room):
    return event


@mutation.field("edit")
def edit(_object, _info, doc, text):
    seen["edits"] += 1
    versions[doc] += 1
    changed = {"version": versions[doc], "text": text}
    for queue in listeners[doc]:
        queue.put_nowait(changed)
    return changed


@subscription.source("changed")
async def changes(_object, _info, doc):
    queue = asyncio.Queue()
    listeners[doc].add(queue)
    seen["watchers"] += 1
    try:
        while True:
            yield await queue.get()
    finally:
        listeners[doc].discard(queue)
        seen["watchers gone"] += 1


@subscription.field("changed")
def _changed(event, _info, doc):
    seen["changes"] += 1
    return event


class Handler(GraphQLTransportWSHandler):
    """Counts pongs."""

    async def handle_websocket_pong_message(self, *_arguments):
        seen["pong"] += 1


async def connected(websocket, params):
    await websocket.send_json({"type": "ping"})  # the protocol lets both sides ping at any time
    seen["connection_init"] += 1
    seen[f"token {params['token']}"] += 1


schema = make_executable_schema(
    """
    type Room { name: String!  members: Int! }
    type Spoken { room: String!  text: String! }
    type Query { room(name: String!): Room! }
    type Version { version: Int!  text: String! }
    type Mutation { post(room: String!, text: String!): Spoken!  edit(doc: ID!, text: String!): Version! }
    type Subscription { spoken(room: String!): Spoken!  posted(room: String!): Spoken!  changed(doc: ID!): Version! }
    """,
    query,
    mutation,
    subscription,
)
asgi(GraphQL(schema, websocket_handler=Handler(on_connect=connected)))

"""Sessions of well-known protocols, as their clients and servers hold them."""

import json


def jsonrpc():
    subscription = "0x9cef478923ff08bf67fde6c64013158d"

    def call(number, method, *params):
        return (">", 1, {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)})

    def result(number, value):
        return ("<", 0.05, {"jsonrpc": "2.0", "id": number, "result": value})

    def head(number):
        params = {"subscription": subscription, "result": {"number": number}}
        return ("<", 1, {"jsonrpc": "2.0", "method": "eth_subscription", "params": params})

    return [
        call(1, "eth_subscribe", "newHeads"), result(1, subscription),
        *(head(number) for number in range(100, 106)),
        call(2, "eth_blockNumber"), result(2, "0x69"),
        call(3, "eth_unsubscribe", subscription), result(3, True),
    ]  # fmt: skip


def phoenix():
    def reply(ref):
        return ("<", 0.05, ["3", ref, "room:lobby", "phx_reply", {"status": "ok", "response": {}}])

    def beat(ref, after_s):
        answer = [None, ref, "phoenix", "phx_reply", {"status": "ok", "response": {}}]
        return (">", after_s, [None, ref, "phoenix", "heartbeat", {}]), ("<", 0.05, answer)

    def shout(ref, after_s):
        body = {"body": "hello"}
        push = ("<", 0.01, ["3", None, "room:lobby", "shout", body])
        return (">", after_s, ["3", ref, "room:lobby", "shout", body]), reply(ref), push

    return [
        (">", 0.1, ["3", "3", "room:lobby", "phx_join", {}]), reply("3"),
        ("<", 0.05, ["3", None, "room:lobby", "presence_state", {}]),
        *shout("4", 5), *beat("5", 24.8), *shout("6", 5), *beat("7", 24.9), *shout("8", 5), *beat("9", 24.9),
    ]  # fmt: skip


def socketio():
    def ask(number, event, **data):
        said = {"room": "a", **data}
        return (">", 2, f"42{number}" + json.dumps([event, said])), ("<", 0.02, f'43{number}[{{"ok":true}}]')

    return [
        ("<", 0.01, '0{"sid":"Ab3dEf6hIj9kLm","upgrades":[],"pingInterval":25000}'),
        (">", 0.001, '40{"token":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abcdefgh"}'),
        ("<", 0.02, '40{"sid":"Zz3dEf6hIj9kLm"}'),
        *ask(0, "join"), *ask(1, "message", text="x"),
        ("<", 0.02, '42["message",{"text":"y"}]'),
        ("<", 10, "2"), (">", 0.001, "3"), *ask(2, "message", text="x"),
    ]  # fmt: skip


def stomp():
    def send(receipt):
        said = f"SEND\ndestination:/topic/load.1\nreceipt:{receipt}\n\nhello\0"
        return (">", 1, said), ("<", 0.1, f"RECEIPT\nreceipt-id:{receipt}\n\n\0")

    return [
        (">", 0.1, "CONNECT\naccept-version:1.2\nhost:/\nlogin:guest\npasscode:hunter2x9\n\n\0"),
        ("<", 0.1, "CONNECTED\nversion:1.2\nsession:session-abc123def\n\n\0"),
        (">", 0.1, "SUBSCRIBE\nid:0\ndestination:/topic/load.1\nreceipt:1\nack:auto\n\n\0"),
        ("<", 0.1, "RECEIPT\nreceipt-id:1\n\n\0"),
        *send(2), ("<", 0.1, "MESSAGE\nsubscription:0\nmessage-id:55\n\nhello\0"),
        *send(3), ("<", 0.1, "MESSAGE\nsubscription:0\nmessage-id:56\n\nhello\0"),
    ]  # fmt: skip


def graphql():
    change = ("<", 1, {"id": "s1", "type": "next", "payload": {}})
    return [
        (">", 0.1, {"type": "connection_init", "payload": {"token": "abcDEF123456"}}),
        ("<", 0.1, {"type": "connection_ack"}),
        (">", 0.1, {"id": "s1", "type": "subscribe", "payload": {"query": "subscription { changed }"}}),
        change, change, ("<", 1, {"type": "ping"}), (">", 0.001, {"type": "pong"}), change,
        (">", 0.1, {"id": "s1", "type": "complete"}),
    ]  # fmt: skip


def signalr():
    def invoke(number, target):
        said = {"arguments": ["a"], "invocationId": str(number), "target": target, "type": 1}
        done = {"type": 3, "invocationId": str(number), "result": None}
        return (">", 1, json.dumps(said) + "\x1e"), ("<", 0.1, json.dumps(done) + "\x1e")

    return [
        (">", 0.1, '{"protocol":"json","version":1}\x1e'), ("<", 0.1, "{}\x1e"),
        *invoke(0, "Join"), *invoke(1, "Send"),
        ("<", 0.05, '{"type":1,"target":"Got","arguments":["x"]}\x1e'),
        ("<", 15, '{"type":6}\x1e'), (">", 0.001, '{"type":6}\x1e'),
    ]  # fmt: skip


def streamed():
    def turn(text):
        words = [("<", 0.05, {"type": "delta", "d": word}) for word in "abcd"]
        done = ("<", 0.1, {"type": "response.done", "usage": {"output_tokens": 4}})
        created = ("<", 0.3, {"type": "response.created"})
        return [
            (">", 3, {"type": "item.create", "text": text}),
            (">", 0, {"type": "response.create"}),
            created,
            *words,
            done,
        ]

    return [("<", 0.1, {"type": "session.created"}), *turn("what?"), *turn("why?")]


PROTOCOLS = {one.__name__: one for one in (jsonrpc, phoenix, socketio, stomp, graphql, signalr, streamed)}

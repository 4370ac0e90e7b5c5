"""A real STOMP broker, coilmq: it speaks TCP, so a bridge makes a WebSocket message of each STOMP frame."""

import asyncio
import contextlib
import threading

from coilmq.protocol import adaptor
from coilmq.queue import QueueManager
from coilmq.server.socket_server import ThreadedStompServer
from coilmq.store.memory import MemoryQueue
from coilmq.topic import TopicManager
from serving import seen, websocket
from websockets.exceptions import ConnectionClosed

adaptor.socket.getfqdn = lambda: "/"  # the virtual host of this broker is its name, and it cannot be told another


class Counting(TopicManager):
    """The broker's topics, counting what comes to them."""

    def send(self, message):
        seen["published"] += 1
        seen["right"] += message.headers["destination"] == "/topic/load" and message.body == b"hello"
        super().send(message)


ThreadedStompServer.daemon_threads = True
broker = ThreadedStompServer(
    ("127.0.0.1", 0), timeout=None, queue_manager=QueueManager(MemoryQueue()), topic_manager=Counting()
)
threading.Thread(target=broker.serve_forever, daemon=True).start()


async def session(connection):
    seen["v12.stomp"] += connection.subprotocol == "v12.stomp"
    reader, writer = await asyncio.open_connection(*broker.server_address)

    async def backward():
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ConnectionClosed):
            while frame := await reader.readuntil(b"\0"):
                seen[frame.split()[0].decode()] += 1
                await connection.send(frame.lstrip(b"\n"), text=True)
        await connection.close()

    task = asyncio.create_task(backward())
    try:
        async for message in connection:
            seen["heart-beats"] += message == "\n"
            writer.write(message.encode())
    finally:
        seen["over"] += 1
        task.cancel()
        writer.close()


websocket(session, subprotocols=["v12.stomp"])

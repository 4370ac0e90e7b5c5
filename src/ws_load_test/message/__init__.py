"""What is sent: messages fixed and varying; their fields, feeds, sizes and turns."""

from ws_load_test.message.feed import Feed, FeedError, Order
from ws_load_test.message.message import DEFAULT_PAYLOAD, FirstMessage, Kind, Message, generated_text
from ws_load_test.message.sizes import Sizes
from ws_load_test.message.source import NO_ROW, Batches, Payloads, Source
from ws_load_test.message.template import Row, Suspect, Template

__all__ = [
    "DEFAULT_PAYLOAD",
    "NO_ROW",
    "Batches",
    "Feed",
    "FeedError",
    "FirstMessage",
    "Kind",
    "Message",
    "Order",
    "Payloads",
    "Row",
    "Sizes",
    "Source",
    "Suspect",
    "Template",
    "generated_text",
]

"""What is sent: messages fixed and varying; their fields, feeds, sizes and turns."""

from ws_load_test.messages.feed import Feed, FeedError, Order
from ws_load_test.messages.fields import Row
from ws_load_test.messages.generator import (
    NO_ROW,
    Batches,
    Payloads,
    Source,
)
from ws_load_test.messages.message import (
    DEFAULT_PAYLOAD,
    FirstMessage,
    Kind,
    Message,
    generated_text,
)
from ws_load_test.messages.sizes import Sizes
from ws_load_test.messages.template import Suspect, Template

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

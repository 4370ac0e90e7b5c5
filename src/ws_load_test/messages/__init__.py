"""Messages to send, fixed and varying: templates, fields, feeds, sizes, and the order of several."""

from ws_load_test.messages.feed import Feed, FeedError, Order
from ws_load_test.messages.generator import (
    EMPTY_ROW,
    FrameBatches,
    MessageGenerator,
    PayloadStream,
)
from ws_load_test.messages.message import (
    DEFAULT_PAYLOAD,
    LARGEST_CONTENTS_BYTES,
    Kind,
    Message,
    SetupMessage,
    filler_text,
)
from ws_load_test.messages.sizes import SizeDistribution
from ws_load_test.messages.template import SuspectField, Template
from ws_load_test.messages.template_field import Row

__all__ = [
    "DEFAULT_PAYLOAD",
    "EMPTY_ROW",
    "LARGEST_CONTENTS_BYTES",
    "Feed",
    "FeedError",
    "FrameBatches",
    "Kind",
    "Message",
    "MessageGenerator",
    "Order",
    "PayloadStream",
    "Row",
    "SetupMessage",
    "SizeDistribution",
    "SuspectField",
    "Template",
    "filler_text",
]

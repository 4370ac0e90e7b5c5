"""The native engine: the portable one, whose ready sessions are lent to a loop in C."""

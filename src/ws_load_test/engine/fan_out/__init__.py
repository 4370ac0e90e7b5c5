"""Fan-out on one worker: publishers, the subscribers that it has, and the accounting of deliveries to them."""

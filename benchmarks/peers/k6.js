// The closed loop of compare.py in k6: each of its virtual users keeps one message in flight on one connection.
// k6 counts the messages by itself, and takes times only where a script does: with TIMES set, this one does.
import { WebSocket } from "k6/experimental/websockets";
import { Trend } from "k6/metrics";

const text = "A".repeat(Number(__ENV.BYTES));
const times = __ENV.TIMES ? new Trend("echo", true) : null;

export const options = {
  scenarios: {
    echoes: {
      executor: "per-vu-iterations",
      vus: Number(__ENV.CONNECTIONS),
      iterations: 1,
      maxDuration: `${__ENV.SECONDS}s`,
      gracefulStop: "0s",
    },
  },
};

export default function () {
  const socket = new WebSocket(__ENV.URL);
  let sent = 0;
  socket.onopen = () => {
    sent = Date.now();
    socket.send(text);
  };
  socket.onmessage = times
    ? () => {
        const now = Date.now();
        times.add(now - sent);
        sent = now;
        socket.send(text);
      }
    : () => socket.send(text);
}

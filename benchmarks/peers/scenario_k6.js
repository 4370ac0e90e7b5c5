// The scenario of scenario.py in k6: five exchanges by an id on one connection, with a time to think before each.
// The time of each is a Trend of its step, in whole milliseconds, from when the message is sent.
import { WebSocket } from "k6/experimental/websockets";
import { setTimeout } from "k6/timers";
import { Trend } from "k6/metrics";

const steps = ["login", "list", "open", "edit", "save"];
const times = steps.map((step) => new Trend(step, true));
const letters = "abcdefghijklmnopqrstuvwxyz";

export const options = {
  summaryTrendStats: ["med", "p(99)", "max", "count"],
  scenarios: {
    users: {
      executor: "per-vu-iterations",
      vus: Number(__ENV.CONNECTIONS),
      iterations: 1,
      maxDuration: `${__ENV.SECONDS}s`,
      gracefulStop: "0s",
    },
  },
};

const think = () => -500 * Math.log(1 - Math.random());

function word() {
  let text = "";
  for (let i = 0; i < 8; i++) text += letters[Math.floor(Math.random() * 26)];
  return text;
}

export default function () {
  const socket = new WebSocket(__ENV.URL);
  let id = __VU * 1e6;
  let step = 0;
  let sent = 0;
  const next = () => {
    sent = Date.now();
    socket.send(JSON.stringify({ op: steps[step], id: ++id, user: word() }));
  };
  socket.onopen = () => setTimeout(next, think());
  socket.onmessage = (event) => {
    if (JSON.parse(event.data).id !== id) return;
    times[step].add(Date.now() - sent);
    step = (step + 1) % steps.length;
    setTimeout(next, think());
  };
}

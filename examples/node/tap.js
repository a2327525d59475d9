// A shop's events, a line of JSON each, and none missed. npm install, then: node tap.js --token TOKEN [--topic order.]
// [--events tcp://HOST:PORT] [--url http://HOST:PORT] [--after SEQ] [--keys DIR [--key NAME]]
"use strict";
const { readFileSync } = require("node:fs");
const { join } = require("node:path");
const { parseArgs } = require("node:util");
const { decode } = require("@msgpack/msgpack");
const { Subscriber } = require("zeromq");

const text = (value) => ({ type: "string", default: value });
const { values: args } = parseArgs({ options: { events: text("tcp://127.0.0.1:5556"), topic: text("order."), key: text("tap"),
  url: text("http://127.0.0.1:8080"), token: text(), after: text(), keys: text() } });

const keyIn = (name, half) => readFileSync(join(args.keys, name), "utf8").match(new RegExp(`^${half} (\\S+)$`, "m"))[1];

function connect() {
  const tap = new Subscriber({ linger: 0, receiveTimeout: 3500 });
  if (args.keys) {
    tap.curveServerKey = keyIn("broker.public", "public");
    tap.curvePublicKey = keyIn(`${args.key}.secret`, "public");
    tap.curveSecretKey = keyIn(`${args.key}.secret`, "secret");
  }
  tap.subscribe(args.topic, "_head.");
  tap.connect(args.events);
  return tap;
}

let whole = args.after === undefined ? -1 : Number(args.after); // nothing is missing up to here
let epoch = 0;
let seen = new Map(); // the newest tseq by topic
const shown = new Map(); // the newest seq by type

// A loss shows by topic: what was lost of one may come behind what is newer of another, so each has a position.
function show({ seq, type, id, subject }) {
  if (seq > (shown.get(type) ?? whole)) {
    console.log(JSON.stringify({ seq, type, id, subject }));
    shown.set(type, seq);
  }
}

// Shows what the log has behind the last position up to which nothing was missing.
async function replay() {
  let after = whole;
  for (let more = true; more;) {
    const types = args.topic.replace(/\.$/, "") + "*";
    const answer = await fetch(`${args.url}/api/events?limit=100&after=${after}&types=${types}`,
      { headers: { Authorization: `Bearer ${args.token}` } }).catch(() => ({ status: 503 }));
    if (answer.status >= 500) { // nobody is there just now
      await new Promise((done) => setTimeout(done, 1000));
      continue;
    }
    const page = await answer.json();
    if (answer.status === 410) {
      console.error(`the log has nothing left between ${after} and ${page.head}`);
    } else if (!answer.ok) {
      throw new Error(`${answer.status} ${page.detail}`);
    }
    (page.data ?? []).forEach(show);
    more = page.has_more;
    after = more ? page.data.at(-1).seq : page.head;
  }
  whole = Math.max(whole, after);
}

async function take(topic, meta, payload) {
  const beacon = topic === "_head.";
  const told = beacon ? payload.topics.map((t) => [t.topic, t.tseq]) : [[topic, meta.tseq]];
  let missed = told.some(([t, tseq]) => t.startsWith(args.topic) && tseq > (seen.get(t) ?? 0) + (beacon ? 0 : 1));
  if (meta.epoch !== epoch) { // the first message, or a log that was restored
    missed = epoch > 0 || args.after !== undefined;
    whole = whole < 0 ? meta.seq - (beacon ? 0 : 1) : whole;
    [epoch, seen] = [meta.epoch, new Map()];
  }
  if (missed) await replay();
  told.forEach(([t, tseq]) => seen.set(t, Math.max(tseq, seen.get(t) ?? 0)));
  if (beacon) whole = Math.max(whole, meta.seq); // it follows what it tells of: store this position, not the newest seq
  else show(meta);
}

(async () => {
  for (let tap = connect(); ; ) {
    const frames = await tap.receive().catch(() => null);
    if (frames) {
      await take(frames[0].toString(), decode(frames[1]), decode(frames[2]));
    } else { // a beacon comes each second: nobody is there, or the line is dead without having said so
      tap.close();
      tap = connect();
    }
  }
})().catch((error) => {
  console.error(error.message);
  process.exit(1);
});

// A neighbour with the stock client of the web, `@stomp/stompjs` 7: its `Client`, or its older `Stomp.over` API.
// Says what happens as lines of JSON.
//
//   node stompjs.mjs <folder of node_modules> <url> <token> <line> <1.0|1.1|1.2|all> <client|compat> <messages>

import { createRequire } from "node:module";

const [folder, url, token, line, version, api, count] = process.argv.slice(2);
const require = createRequire(`${folder}/`);
const { Client, Stomp, Versions } = require("@stomp/stompjs");
const WebSocket = require("ws");
Object.assign(globalThis, { WebSocket });

const say = (event, more = {}) => console.log(JSON.stringify({ event, ...more }));
const fail = (why) => {
  say("failed", { why });
  process.exit(1);
};

const authorization = { Authorization: `Bearer ${token}` };
let left = Number(count);
let done = () => {};

const heard = (message) => {
  message.ack();
  say("message", { headers: message.headers, body: JSON.parse(message.body) });
  left -= 1;
  if (left === 0) done();
};

const subscribe = (client) => {
  client.watchForReceipt("subscribed", () => say("subscribed"));
  client.subscribe(`/sub/line/${line}`, heard, { ack: "client", receipt: "subscribed" });
  client.subscribe("/user/queue/errors", () => fail("the silent queue spoke"));
};

if (api === "compat") {
  const client = Stomp.over(() => new WebSocket(url, ["v12.stomp", "v11.stomp", "v10.stomp"]));
  client.debug = () => {};
  client.reconnect_delay = 0;
  client.heartbeat.incoming = 10000;
  client.connect(
    authorization,
    (frame) => {
      say("connected", { version: frame.headers.version, heartBeat: frame.headers["heart-beat"] });
      subscribe(client);
    },
    (frame) => fail(frame.headers?.code ?? String(frame)),
  );
  done = () => client.disconnect(() => say("disconnected"));
} else {
  const client = new Client({
    brokerURL: url,
    connectHeaders: authorization,
    stompVersions: version === "all" ? Versions.default : new Versions([version]),
    reconnectDelay: 0,
    heartbeatIncoming: 10000,
    heartbeatOutgoing: 10000,
    splitLargeFrames: true,
    maxWebSocketChunkSize: 64,
    onConnect: (frame) => {
      say("connected", { version: frame.headers.version, heartBeat: frame.headers["heart-beat"] });
      subscribe(client);
    },
    onStompError: (frame) => {
      say("error", { headers: frame.headers, body: frame.body });
    },
    onWebSocketClose: (event) => say("closed", { code: event.code, reason: event.reason }),
  });
  done = () => client.deactivate().then(() => say("disconnected"));
  client.activate();
}

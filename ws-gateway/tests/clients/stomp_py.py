"""A neighbour with the stock client of Python, stomp.py, over WebSocket, in any version of STOMP.

Says what happens as lines of JSON.

    stomp_py.py <host> <port> <token> <line> <1.0|1.1|1.2> <text|binary> <messages>
"""

import json
import sys
import threading

from stomp.adapter.ws import WSTransport
from stomp.connect import BaseConnection
from stomp.listener import ConnectionListener
from stomp.protocol import Protocol10, Protocol11, Protocol12

HOST, PORT, TOKEN, LINE, VERSION, MODE, COUNT = sys.argv[1:]
PROTOCOLS = {"1.0": Protocol10, "1.1": Protocol11, "1.2": Protocol12}


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


def connection():
    """stomp.py has its WebSocket connection for 1.2 only; its parts fit together for all versions."""
    protocol = PROTOCOLS[VERSION]

    class Connection(BaseConnection, protocol):
        def __init__(self):
            transport = WSTransport(
                [(HOST, int(PORT))], ws_path="/an-ws", binary_mode=MODE == "binary", reconnect_attempts_max=1
            )
            BaseConnection.__init__(self, transport)
            if VERSION == "1.0":
                protocol.__init__(self, transport)
            else:
                protocol.__init__(self, transport, heartbeats=(0, 30000))

        def connect(self, *arguments, **keyword_arguments):
            self.transport.start()
            protocol.connect(self, *arguments, **keyword_arguments)

        def disconnect(self, receipt=None, headers=None, **keyword_headers):
            protocol.disconnect(self, receipt, headers, **keyword_headers)

    return Connection()


class Neighbour(ConnectionListener):
    def __init__(self, client):
        self.client = client
        self.left = int(COUNT)
        self.over = threading.Event()

    def on_connected(self, frame):
        say("connected", version=frame.headers.get("version"), heartBeat=frame.headers.get("heart-beat"))

    def on_receipt(self, frame):
        if frame.headers["receipt-id"] == "subscribed":
            say("subscribed")
        else:
            say("disconnected")
            self.over.set()

    def on_message(self, frame):
        say("message", headers=frame.headers, body=json.loads(frame.body))
        self.acknowledge(frame.headers)
        self.left -= 1
        if self.left == 0:
            self.client.unsubscribe(id="neighbour")
            self.client.disconnect(receipt="bye")

    def acknowledge(self, headers):
        if VERSION == "1.2":
            self.client.ack(headers["ack"])
        elif VERSION == "1.1":
            self.client.ack(headers["message-id"], headers["subscription"])
        else:
            self.client.ack(headers["message-id"])

    def on_error(self, frame):
        say("error", headers=frame.headers, body=frame.body)

    def on_disconnected(self):
        self.over.set()


client = connection()
neighbour = Neighbour(client)
client.set_listener("neighbour", neighbour)
client.connect(wait=False, headers={"Authorization": f"Bearer {TOKEN}"})
client.subscribe(f"/sub/line/{LINE}", id="neighbour", ack="client-individual" if VERSION == "1.1" else "client",
                 headers={"receipt": "subscribed"})
if not neighbour.over.wait(60):
    say("failed", why="nothing happened for a minute")
    sys.exit(1)

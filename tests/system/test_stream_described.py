"""What /asyncapi.json says of events is what comes: every message is checked by an independent implementation of JSON Schema."""
import contextlib
import json
import time

import jsonschema
import msgpack
import zmq

from shop import SLOW, Shop, run, wait_for
from sockets import Socket
from test_stream import PATIENCE, Stream, move, place


class Description:
    """The document, and messages held against it. Objects have no member that it does not name."""

    def __init__(self, document):
        self.document = document
        self.resolver = jsonschema.RefResolver("", document)
        self.checked = set()

    def at(self, reference):
        return self.resolver.resolve(reference)[1]

    def message(self, name):
        return self.document["components"]["messages"][name]

    def check(self, value, schema, where):
        jsonschema.Draft7Validator(schema, resolver=self.resolver).validate(value)
        self.names_check(value, schema, where)

    def names_check(self, value, schema, where):
        if isinstance(value, dict):
            known = self.members(schema)
            assert set(value) <= set(known), f"{where}: {set(value) - set(known)} are not described"
            for name, member in value.items():
                for one in known[name]:
                    self.names_check(member, one, f"{where}/{name}")
        if isinstance(value, list):
            for item in value:
                self.names_check(item, schema.get("items", {}), where)

    def members(self, schema):
        """name: the schemas that say something of it"""
        found = {}
        for part in [schema, *schema.get("allOf", ()), *schema.get("anyOf", ())]:
            part = self.at(part["$ref"]) if "$ref" in part else part
            for name, one in part.get("properties", {}).items():
                known = found.setdefault(name, [])
                if set(one) > {"const"}:
                    known.append(self.at(one["$ref"]) if "$ref" in one else one)
        return found

    def tap(self, frames):
        topic, meta, payload = frames[0].decode(), msgpack.unpackb(frames[1]), msgpack.unpackb(frames[2])
        channel = next((c for c in self.document["channels"].values() if c["address"] == topic), None)
        assert channel, f"{topic} is not described"
        for name in channel["messages"]:
            message = self.message(name)
            self.check(meta, message["headers"], f"{name} meta")
            self.check(payload, message["payload"], name)
            self.checked.add(name)

    def web(self, way, message):
        name = f"{way}.{message['type']}"
        assert name in self.document["channels"][way]["messages"], f"{name} is not described"
        self.check(message, self.message(name)["payload"], name)
        self.checked.add(name)


@contextlib.contextmanager
def tapped(shop):
    socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.SUBSCRIBE, b"")
    socket.connect(shop.events)
    try:
        assert socket.poll(PATIENCE * 1000), "no beacon"
        yield socket
    finally:
        socket.close(0)


def everything_happens(shop, admin):
    """Every event, at least once."""
    def put(path, token, body):
        reply = shop.call("PUT", path, token, body)
        assert reply.status_code == 200, reply.text
    ada = shop.register("ada@example.com", "Ada")
    put(f"/api/users/{ada['user']['id']}", ada["token"], {"name": "Ada L."})
    put(f"/api/users/{ada['user']['id']}/role", admin, {"role": "admin"})
    put(f"/api/users/{ada['user']['id']}/role", admin, {"role": "customer"})
    product, other = shop.product(admin, stock=8, sku="thing"), shop.product(admin)
    ada = shop.call("POST", "/api/auth/login", body={"email": "ada@example.com", "password": "password"}).json()
    first, second = place(shop, ada["token"], product, 4), place(shop, ada["token"], product, 4)  # low, then none is left
    for status in ("confirmed", "shipped", "delivered"):
        move(shop, admin, first, status)
    put(f"/api/products/{product['id']}", admin, {"price": 12.5, "stock": 100})
    move(shop, ada["token"], second, "cancelled")
    assert shop.call("DELETE", f"/api/products/{other['id']}", admin).status_code == 204


def every_event_is_as_described():
    with Shop("--stock-news-ms", "100") as shop:
        reply = shop.call("GET", "/asyncapi.json")
        assert reply.status_code == 200 and reply.headers["Content-Type"].split(";")[0] == "application/json", reply.headers
        description = Description(reply.json())
        admin = shop.admin()
        with tapped(shop) as tap, Stream(shop, admin, 0, "?types=*") as stream, \
                Socket(shop.url.replace("http", "ws") + "/ws?types=*", {"Authorization": f"Bearer {admin}"}) as ws:
            everything_happens(shop, admin)
            described = set(description.document["components"]["messages"])
            missing = lambda way: {name for name in described - description.checked if name.startswith(way + ".")}
            end = time.monotonic() + PATIENCE * SLOW
            while missing("tap"):
                assert tap.poll(PATIENCE * 1000) and time.monotonic() < end, f"{missing('tap')} did not come"
                description.tap(tap.recv_multipart())
            while missing("ws"):
                description.web("ws", json.loads(ws.recv(PATIENCE)))

            def all_streamed():
                for _, _, event in list(stream.events):
                    description.web("stream", event)
                return not missing("stream")
            wait_for("every type in the stream", all_streamed, PATIENCE)
        assert description.checked == described


def the_document_holds_together():
    """The rules of AsyncAPI 3.0 that a reader of the document relies on."""
    with Shop() as shop:
        description = Description(shop.call("GET", "/asyncapi.json").json())
    document = description.document
    assert document["asyncapi"] == "3.0.0" and {"title", "version"} <= set(document["info"])
    for server in document["servers"].values():
        assert {"host", "protocol"} <= set(server)
        assert all(part.strip("{}") in server["variables"] for part in server["host"].split(":"))
        for scheme in server["security"]:
            assert "type" in description.at(scheme["$ref"])
    for operation in document["operations"].values():
        assert operation["action"] == "send" and description.at(operation["channel"]["$ref"]) in document["channels"].values()
    for name, channel in document["channels"].items():
        assert channel["messages"], f"{name} has no messages"
        assert all(description.at(s["$ref"]) in document["servers"].values() for s in channel["servers"])
    used = {reference.rsplit("/", 1)[1] for c in document["channels"].values() for m in c["messages"].values() for reference in m.values()}
    assert used == set(document["components"]["messages"])
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft7Validator.check_schema(schema)


if __name__ == "__main__":
    run({f.__name__: f for f in (the_document_holds_together, every_event_is_as_described)})

#!/usr/bin/env python3
"""A shop's events, a line of JSON each, and none missed. Needs pyzmq and msgpack (Debian: python3-zmq python3-msgpack)."""
import argparse
import json
import pathlib
import re
import sys
import time
import urllib.error
import urllib.request

import msgpack
import zmq

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--events", default="tcp://127.0.0.1:5556", help="the PUB socket")
parser.add_argument("--topic", default="order.", help="beginning of the topics wanted; order.placed. is one alone")
parser.add_argument("--url", default="http://127.0.0.1:8080", help="the gateway, to ask for what was missed")
parser.add_argument("--token", required=True, help="an administrator's access token")
parser.add_argument("--after", type=int, help="begin behind this seq instead of now")
parser.add_argument("--keys", help="folder with broker.public and KEY.secret, where the socket asks for CURVE")
parser.add_argument("--key", default="tap", help="name of our key in it")
args = parser.parse_args()


def connect():
    tap = zmq.Context.instance().socket(zmq.SUB)
    if args.keys:
        keys = lambda name: dict(re.findall(r"^(public|secret) (\S+)$", (pathlib.Path(args.keys) / name).read_text(), re.M))
        tap.curve_serverkey = keys("broker.public")["public"].encode()
        tap.curve_publickey, tap.curve_secretkey = (keys(args.key + ".secret")[k].encode() for k in ("public", "secret"))
    for topic in (args.topic, "_head."):
        tap.subscribe(topic)
    tap.connect(args.events)
    return tap


def show(event):
    """A loss shows by topic: what was lost of one may come behind what is newer of another, so each has a position."""
    if event["seq"] > shown.get(event["type"], whole):
        print(json.dumps({name: event[name] for name in ("seq", "type", "id", "subject")}), flush=True)
        shown[event["type"]] = event["seq"]


def replay():
    """Shows what the log has behind the last position up to which nothing was missing."""
    global whole
    after, more = whole, True
    while more:
        query = f"?limit=100&after={after}&types={args.topic.rstrip('.')}*"
        request = urllib.request.Request(args.url + "/api/events" + query, headers={"Authorization": "Bearer " + args.token})
        try:
            page = json.load(urllib.request.urlopen(request, timeout=30))
        except urllib.error.URLError as error:
            code = getattr(error, "code", 503)
            if code >= 500:  # nobody is there just now
                time.sleep(1)
                continue
            if code != 410:
                raise
            page = {"data": [], "has_more": False, "head": json.load(error)["head"]}
            print(f"the log has nothing left between {after} and {page['head']}", file=sys.stderr)
        for event in page["data"]:
            show(event)
        more = page["has_more"]
        after = page["data"][-1]["seq"] if more else page["head"]
    whole = max(whole, after)


tap, whole, epoch, seen, shown = connect(), args.after, 0, {}, {}  # seen: the newest tseq by topic; shown: the newest seq by type
while True:
    if not tap.poll(3500):  # a beacon comes each second: nobody is there, or the line is dead without having said so
        tap.close(0)
        tap = connect()
        continue
    topic, meta, payload = tap.recv_multipart()
    topic, meta, payload = topic.decode(), msgpack.unpackb(meta), msgpack.unpackb(payload)
    beacon = topic == "_head."
    told = {t["topic"]: t["tseq"] for t in payload["topics"]} if beacon else {topic: meta["tseq"]}
    missed = any(tseq > seen.get(t, 0) + (not beacon) for t, tseq in told.items() if t.startswith(args.topic))
    if meta["epoch"] != epoch:  # the first message, or a log that was restored
        missed, seen = epoch or args.after is not None, {}
        epoch, whole = meta["epoch"], meta["seq"] - (not beacon) if whole is None else whole
    if missed:
        replay()
    seen.update({t: max(tseq, seen.get(t, 0)) for t, tseq in told.items()})
    if beacon:
        whole = max(whole, meta["seq"])  # it follows what it tells of: store this position, not the newest seq
    else:
        show(meta)

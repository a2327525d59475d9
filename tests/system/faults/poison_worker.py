"""A worker that dies on the first request it meets: poison_worker.py BROKER SERVICE. Exit status 13 says that it did."""
import os
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import bus1

if __name__ == "__main__":
    peer = bus1.Peer(sys.argv[1], "worker", bus1.WORKERS, [(sys.argv[2], 8)], heartbeat_ms=300)
    while True:
        got = peer.receive(60)
        if got and got[0].type == bus1.REQUEST:
            os._exit(13)

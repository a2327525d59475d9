"""python3-websockets behind a plain blocking face, for the versions that Debian 12, 13 and Ubuntu ship."""
import asyncio
import inspect
import threading

import websockets


class Closed(Exception):
    """The other side closed; .code says why."""

    def __init__(self, code):
        super().__init__(f"closed with {code}")
        self.code = code


class Refused(Exception):
    """No upgrade; .status is the HTTP status."""

    def __init__(self, status):
        super().__init__(f"refused with {status}")
        self.status = status


_loop = asyncio.new_event_loop()
threading.Thread(target=_loop.run_forever, daemon=True).start()


def _wait(coroutine, seconds):
    return asyncio.run_coroutine_threadsafe(coroutine, _loop).result(seconds)


class Socket:
    def __init__(self, url, headers=None):
        named = "additional_headers" if "additional_headers" in inspect.signature(websockets.connect).parameters else "extra_headers"
        try:
            self.connection = _wait(self._connect(url, {named: headers or {}}), 10)
        except websockets.exceptions.InvalidHandshake as error:
            response = getattr(error, "response", None)
            raise Refused(response.status_code if response else error.status_code) from None

    @staticmethod
    async def _connect(url, options):
        return await websockets.connect(url, **options)

    def recv(self, seconds=10):
        try:
            return _wait(asyncio.wait_for(self.connection.recv(), seconds), seconds + 1)
        except websockets.exceptions.ConnectionClosed as error:
            raise Closed(error.rcvd.code if error.rcvd else None) from None

    def send(self, data):
        _wait(self.connection.send(data), 10)

    def close(self):
        _wait(self.connection.close(), 10)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

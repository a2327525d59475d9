"""Somebody's web server that our webhooks are posted to."""
import contextlib
import http.server
import json
import ssl
import threading
import time


class Receiver:
    """An HTTP server that notes what it gets; answer(request) gives status, headers and body, and may take its time."""

    def __init__(self, answer=lambda got: (204, {}, b""), tls=None, host="127.0.0.1"):
        self.got, self.lock = [], threading.Lock()
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                got = {"path": self.path, "headers": self.headers, "body": body, "at": time.monotonic()}
                with receiver.lock:
                    receiver.got.append(got)
                status, headers, reply = receiver.answer(got)
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("Content-Length", str(len(reply)))
                    self.end_headers()
                    self.wfile.write(reply)

            def log_message(self, *_):
                pass

            def handle(self):
                with contextlib.suppress(OSError):  # webhook-svc was killed
                    super().handle()

        self.answer = answer
        self.server = http.server.ThreadingHTTPServer((host, 0), Handler)
        self.server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://localhost:{self.port}/hook"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def bodies(self, type_=None):
        with self.lock:
            found = [json.loads(got["body"]) for got in self.got]
        return [body for body in found if not type_ or body["type"] == type_]

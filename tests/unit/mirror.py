"""A local mirror to download from, and the faults that it can be told to have."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror:
    """A web server of `files`, with a log; `spoil` maps a file to what a GET for it does instead."""

    def __init__(self, files):
        self.log, self.spoil = [], {}
        mirror = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self):
                mirror.log.append("HEAD")
                mirror.spoil.get("HEAD", lambda _handler, _body: None)(self, b"")
                self.reply(b"")

            def do_GET(self):
                file = self.path.rsplit("/", 1)[-1]
                mirror.log.append(file)
                mirror.spoil.get(file, Handler.reply)(self, files[file])

            def reply(self, body, length=None):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body) if length is None else length))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_args: None  # a client that hung up, as it should
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


def truncated(handler, body):
    handler.reply(body[: len(body) // 2], length=len(body))  # and hangs up


def corrupt(handler, body):
    handler.reply(b"x" * len(body))


def hanging(_handler, _body):
    time.sleep(4)

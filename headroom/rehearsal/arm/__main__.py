"""`python -m headroom.rehearsal.arm --certificates FOLDER`: serve the simulated Azure over HTTPS; prints its port."""

import argparse
import logging
import ssl
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from werkzeug.serving import WSGIRequestHandler, make_server

from headroom.rehearsal.arm.application import Application
from headroom.rehearsal.arm.certificate import make_certificate
from headroom.rehearsal.arm.settings import Settings
from headroom.rehearsal.providers.process import exit_with_stdin, stop_on_signals


class RequestHandler(WSGIRequestHandler):
    """Keeps connections open, which spares every caller a handshake a request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The header Date, of simulated time: clients judge by it how old something is."""
        application = self.server.app
        assert isinstance(application, Application)  # noqa: S101 - it is the one that this module serves
        return super().date_time_string(application.now() if timestamp is None else timestamp)


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until a signal comes, or standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m headroom.rehearsal.arm", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 (default): any free one")
    parser.add_argument("--certificates", type=Path, required=True, help="where certificate.pem and key.pem go")
    parser.add_argument("--log", type=Path, help="append one JSON line for each request")
    parser.add_argument("--until-stdin-closes", action="store_true", help="exit when standard input does")
    for setting in fields(Settings):
        flag = f"--{setting.name.replace('_', '-')}"
        if isinstance(setting.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=setting.default)
        else:
            parser.add_argument(flag, type=type(setting.default), default=setting.default)
    options = parser.parse_args(arguments)
    stop_on_signals()
    if options.until_stdin_closes:
        exit_with_stdin()
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    certificate, key = make_certificate(options.certificates)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    log = None
    if options.log:
        options.log.parent.mkdir(parents=True, exist_ok=True)
        log = options.log.open("a", encoding="utf-8")
    settings = Settings(**{setting.name: getattr(options, setting.name) for setting in fields(Settings)})
    application = Application(settings=settings, log=log)
    server = make_server(
        "127.0.0.1", options.port, application, threaded=True, request_handler=RequestHandler, ssl_context=context
    )
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()

"""`python -m headroom.rehearsal.aws`: serve the simulated AWS; prints its port as one line."""

import argparse
import importlib
import logging
import os
import sys
from dataclasses import fields
from pathlib import Path

from headroom.rehearsal.aws.settings import Settings
from headroom.rehearsal.providers.process import exit_with_stdin, stop_on_signals


def main(arguments: list[str] | None = None) -> None:
    """Serve until a signal comes, or standard input closes."""
    parser = argparse.ArgumentParser(prog="python -m headroom.rehearsal.aws", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="port to listen on; 0 (default): any free one")
    parser.add_argument("--log", type=Path, help="append one JSON line for each API request")
    parser.add_argument("--until-stdin-closes", action="store_true", help="exit when standard input does")
    parser.add_argument(
        "--daemonset",
        metavar="MODULE:FUNCTION",
        help="makes the LiveEnvironment of aws-node (default: kept in memory)",
    )
    for setting in fields(Settings):
        default = setting.default
        if not isinstance(default, bool):
            flag = f"--{setting.name.replace('_', '-')}"
            parser.add_argument(flag, type=type(default), default=default, dest=setting.name)
    parser.add_argument("--allow-family-mix", action="store_true", help="accept several RFC 1918 ranges")
    options = parser.parse_args(arguments)

    stop_on_signals()
    if options.until_stdin_closes:
        exit_with_stdin()
    # moto reads these while it is imported; images are of no use here and take half a second.
    os.environ.setdefault("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    from werkzeug.serving import make_server  # noqa: PLC0415  # after the environment is set

    from headroom.rehearsal.aws.application import Application, open_log  # noqa: PLC0415  # the same
    from headroom.rehearsal.aws.http import QuietRequestHandler  # noqa: PLC0415  # the same

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    environment = None
    if options.daemonset:
        module, _, function = options.daemonset.partition(":")
        environment = getattr(importlib.import_module(module), function)()
    settings = Settings(**{setting.name: getattr(options, setting.name) for setting in fields(Settings)})
    application = Application(
        settings=settings, log=open_log(options.log) if options.log else None, environment=environment
    )
    server = make_server("127.0.0.1", options.port, application, threaded=True, request_handler=QuietRequestHandler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()


if __name__ == "__main__":
    main()

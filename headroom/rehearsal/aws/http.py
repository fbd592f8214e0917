"""How the simulated AWS speaks HTTP: connections stay open, as they do with AWS."""

from moto.moto_server.werkzeug_app import MotoRequestHandler


class QuietRequestHandler(MotoRequestHandler):
    """Keeps connections open, which spares every caller a connection a request."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

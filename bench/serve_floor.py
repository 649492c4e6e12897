"""`python -m bench.serve_floor PORT`: the floor under the product's own HTTP server, with one process as well."""

import sys

from customary import logs
from customary.server import make_http_server
from customary.settings import Settings

if __name__ == "__main__":
    logs.configure()
    make_http_server(Settings(port=int(sys.argv[1])), "bench.floor:create_application").serve()

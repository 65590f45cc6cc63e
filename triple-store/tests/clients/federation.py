"""rdflib asks a server by SERVICE; then it is an endpoint itself, whose address it prints, until it is killed."""

import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

from rdflib import Graph

found = Graph().query(
    f"""PREFIX : <http://example.com/>
    SELECT ?name {{ VALUES ?who {{ :alice :bob }} SERVICE <{sys.argv[1]}/query> {{ ?who :name ?name }} }}"""
)
assert sorted(str(row.name) for row in found) == ["Alice", "Bjørn 🦀"], list(found)

graph = Graph().parse(
    data='PREFIX : <http://example.com/> :alice :likes "007" . :bob :likes "tea" .', format="turtle"
)


class Endpoint(BaseHTTPRequestHandler):
    def do_POST(self):
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        self.send("application/sparql-results+json", graph.query(form["query"][0]).serialize(format="json"))

    def do_GET(self):
        self.send("text/turtle", graph.serialize(format="turtle").encode())

    def send(self, media_type, body):
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Endpoint)
print(f"http://127.0.0.1:{server.server_port}/", flush=True)
server.serve_forever()

#!/usr/bin/env python3
"""Compares the answers of `triples serve` with those of Oxigraph, on random data and random queries.

    pip install pyoxigraph
    cargo build -p triple-store
    scripts/compare-oxigraph.py --cases 2000 --seed 1

Each difference is printed with its seed and makes the script fail. There are no exceptions. With --control, Oxigraph gets the
data without one quad, and the script fails if it finds no difference. The queries avoid features in which Oxigraph is known to
differ from the specification: literals that are not in canonical form, NaN, an order of IRIs, alternatives of paths, negated
property sets (between bound ends it finds one triple of several), paths that may have no step from a term, `GRAPH` around
anything but triples, and conditions on a variable that its own group does not bind.
"""

import argparse
import collections
import http.client
import json
import random
import subprocess
import sys
import tempfile
import urllib.parse

import pyoxigraph

PREFIXES = "PREFIX : <urn:>\n"
VARIABLES = ["?a", "?b", "?c", "?d"]
NODES = [":n0", ":n1", ":n2", ":n3", ":n4"]
LITERALS = ["1", "2", "3", "1.5", "2.5", '"x"', '"y"', '"x"@en', "true"]
PREDICATES = [":p", ":q", ":r"]


class Generator:
    """Random data and queries from a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.fresh = 0

    def one(self, choices):
        return self.random.choice(choices)

    def data(self):
        def triple():
            number = self.random.random()
            return f"{self.one(NODES)} {self.one(PREDICATES)} {self.one(NODES if number < 0.6 else LITERALS)} ."

        def triples():
            return " ".join(triple() for _ in range(self.random.randrange(4, 30)))

        return f"{triples()} GRAPH :g {{ {triples()} }} GRAPH :h {{ {triples()} }}"

    def triple(self):
        """Returns a pattern, and the variables that it binds."""
        subject = self.one(VARIABLES * 3 + NODES)
        predicate = self.one(PREDICATES * 4 + [":p/:q", "^:r", ":p+", ":q/^:p", "(:p/:r)+"])
        term = self.one(VARIABLES * 4 + NODES + LITERALS[:3])
        return f"{subject} {predicate} {term} .", {subject, term} & set(VARIABLES)

    def triples(self):
        texts, bound = zip(*(self.triple() for _ in range(self.random.randrange(1, 4))))
        return " ".join(texts), set().union(*bound)

    def condition(self, bound):
        a, b = self.one(bound), self.one(bound)
        return self.one([
            f"{a} = {b}",
            f"{a} != {self.one(NODES + LITERALS)}",
            f"{a} > 1",
            f"isLiteral({a}) && isLiteral({b}) && STR({a}) < STR({b})",
            f"{a} IN (:n0, :n1, 1, 'x')",
            f"isIRI({a}) || {b} = 2",
            f"STRLEN(STR({a})) > 5",
            f"IF(isNumeric({a}), {a} < 2, false)",
            f"!BOUND({a})",
        ])

    def group(self, depth):
        """Returns a group, and the variables that each of its solutions binds."""
        text, bound = self.triples()
        for _ in range(self.random.randrange(0, 4)):
            kind = self.random.randrange(10 if depth else 3)
            certain = sorted(bound)
            if kind == 0 and certain:
                text += f" FILTER({self.condition(certain)})"
            elif kind == 1 and certain:
                self.fresh += 1
                text += f" BIND(STR({self.one(certain)}) AS ?v{self.fresh})"
            elif kind == 2:
                more, more_bound = self.triples()
                name = self.one(["?g", ":g", ":h"])
                text, bound = f"{text} GRAPH {name} {{ {more} }}", bound | more_bound
            elif kind in (3, 4):
                text += f" OPTIONAL {{ {self.group(depth - 1)[0]} }}"
            elif kind == 5:
                (a, of_a), (b, of_b) = self.group(depth - 1), self.group(depth - 1)
                text, bound = f"{text} {{ {a} }} UNION {{ {b} }}", bound | of_a & of_b
            elif kind == 6:
                text += f" MINUS {{ {self.group(depth - 1)[0]} }}"
            elif kind in (7, 8):
                no, (inner, of_inner) = self.one(["", "NOT "]), self.group(depth - 1)
                seen = sorted(bound | of_inner)
                condition = f"FILTER({self.condition(seen)})" if seen and self.one([True, False]) else ""
                text += f" FILTER {no}EXISTS {{ {inner} {condition} }}"
            elif kind == 9:
                inner, of_inner = self.group(depth - 1)
                shown = self.random.sample(VARIABLES, 2)
                text = f"{text} {{ SELECT {' '.join(shown)} {{ {inner} }} }}"
                bound = bound | of_inner & set(shown)
        return text, bound

    def query(self):
        text, _ = self.group(self.random.randrange(3))
        head = self.one(["SELECT *", "SELECT DISTINCT ?a ?b", "SELECT ?c (COUNT(*) AS ?n)", "SELECT (COUNT(?a) AS ?n)"])
        tail = " GROUP BY ?c" if "?c (" in head else ""
        return f"{PREFIXES}{head} {{ {text} }}{tail}"


class Triples:
    """A running `triples serve`."""

    def __init__(self, command, directory):
        self.process = subprocess.Popen(
            [command, "serve", "--bind", "127.0.0.1:0", f"{directory}/store"], stderr=subprocess.PIPE, text=True
        )
        address = next(word for word in self.process.stderr.readline().split() if word.startswith("http://"))
        self.connection = http.client.HTTPConnection(urllib.parse.urlparse(address).netloc, timeout=120)

    def post(self, path, kind, text):
        headers = {"Content-Type": f"application/sparql-{kind}", "Accept": "application/sparql-results+json"}
        self.connection.request("POST", path, text.encode(), headers)
        response = self.connection.getresponse()
        body = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{response.status}: {body.decode()}")
        return body

    def update(self, text):
        self.post("/update", "update", text)

    def rows(self, query):
        return counted(self.post("/query", "query", query))


def counted(results):
    """The rows of results in JSON, and how often each occurs."""
    rows = json.loads(results)["results"]["bindings"]
    return collections.Counter(
        " ".join(sorted(f"{name}={json.dumps(term, sort_keys=True)}" for name, term in row.items())) for row in rows
    )


def by_oxigraph(data, query):
    store = pyoxigraph.Store()
    store.update(f"{PREFIXES}INSERT DATA {{ {data} }}")
    return counted(store.query(query).serialize(format=pyoxigraph.QueryResultsFormat.JSON))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--triples", default="target/debug/triples", help="the command")
    parser.add_argument("--control", action="store_true", help="leave one quad out of Oxigraph's data")
    options = parser.parse_args()
    differences = 0
    with tempfile.TemporaryDirectory() as directory:
        triples = Triples(options.triples, directory)
        try:
            for seed in range(options.seed, options.seed + options.cases):
                generator = Generator(seed)
                data, query = generator.data(), generator.query()
                triples.update(f"{PREFIXES}CLEAR ALL; INSERT DATA {{ {data} }}")
                theirs = by_oxigraph(data.split(" .", 1)[1] if options.control else data, query)
                ours = triples.rows(query)
                if ours != theirs:
                    differences += 1
                if ours != theirs and not options.control:
                    print(f"seed {seed}\n{data}\n{query}\nonly ours: {dict(ours - theirs)}\nonly Oxigraph's: {dict(theirs - ours)}\n")
        finally:
            triples.process.terminate()
            triples.process.wait()
    print(f"{options.cases} queries from seed {options.seed} on: {differences} differences")
    return int((differences > 0) != options.control)


if __name__ == "__main__":
    sys.exit(main())

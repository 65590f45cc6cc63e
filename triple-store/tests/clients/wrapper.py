"""SPARQLWrapper: every method, form and syntax that it knows."""

import sys

from SPARQLWrapper import CSV, GET, JSON, JSONLD, N3, POST, POSTDIRECTLY, RDFXML, TSV, TURTLE, URLENCODED, XML, SPARQLWrapper
from SPARQLWrapper.SPARQLExceptions import QueryBadFormed

address = sys.argv[1]
NAMES = "SELECT ?n { ?s <http://example.com/name> ?n } ORDER BY ?n"


def ask(query, syntax, method=GET, how=URLENCODED, endpoint="query"):
    wrapper = SPARQLWrapper(f"{address}/{endpoint}")
    wrapper.setMethod(method)
    wrapper.setRequestMethod(how)
    wrapper.setReturnFormat(syntax)
    wrapper.setQuery(query)
    return wrapper.query().convert()


for method, how in [(GET, URLENCODED), (POST, URLENCODED), (POST, POSTDIRECTLY)]:
    rows = ask(NAMES, JSON, method, how)["results"]["bindings"]
    assert [row["n"]["value"] for row in rows] == ["Alice", "Bjørn 🦀", 'tab\t, quote " and\nline'], rows
    assert rows[0]["n"]["xml:lang"] == "en"
    update = f"INSERT DATA {{ <urn:s> <urn:p> '{method} {how}' }}"
    if method == POST:
        ask(update, JSON, method, how, "update")
        assert ask(f"ASK {{ <urn:s> <urn:p> '{method} {how}' }}", JSON)["boolean"] is True

assert len(ask(NAMES, XML).getElementsByTagName("result")) == 3
assert ask("SELECT ?o { ?s <http://example.com/age> ?o FILTER(?o > 30) }", CSV).decode() == "o\r\n042\r\n"
assert "Bjørn 🦀".encode() in ask(NAMES, TSV)
graph = "CONSTRUCT WHERE { <http://example.com/bob> ?p ?o }"
for syntax in [RDFXML, JSONLD]:
    assert len(ask(graph, syntax)) == 3, syntax
for syntax in [TURTLE, N3]:
    assert b"2000-02-29" in ask(graph, syntax), syntax
try:
    ask("SELEKT", JSON)
except QueryBadFormed as error:
    assert "SELEKT" in str(error)
else:
    raise AssertionError("a query that is none was answered")

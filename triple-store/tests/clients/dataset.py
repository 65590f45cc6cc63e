"""rdflib's Dataset over its SPARQLUpdateStore."""

import sys

from rdflib import Dataset, Graph, Literal, URIRef
from rdflib.plugins.stores.sparqlstore import SPARQLStore, SPARQLUpdateStore

address = sys.argv[1]
S, P, G, H = (URIRef(f"urn:{name}") for name in "spgh")
dataset = Dataset(store=SPARQLUpdateStore(f"{address}/query", f"{address}/update"))


def rows(query):
    return sorted(tuple(str(term) for term in row) for row in dataset.query(query))


before = len(dataset)
dataset.add((S, P, Literal(1)))
assert len(dataset) == before + 1, "in the default graph"
assert (S, P, Literal(1)) in dataset
graph = dataset.graph(G)
graph.add((S, P, Literal(2)))
graph.add((S, P, Literal("deux", lang="fr")))
assert len(graph) == 2 and len(dataset) == before + 1
assert sorted(graph.objects(S, P)) == sorted([Literal(2), Literal("deux", lang="fr")])
dataset.addN((URIRef(f"urn:{n}"), P, Literal(n), dataset.graph(H)) for n in range(100))
assert len(dataset.graph(H)) == 100
assert {G, H} <= {graph.identifier for graph in dataset.graphs()}

assert rows("SELECT ?o { <urn:s> <urn:p> ?o }") == [("1",)]
assert rows("SELECT ?g ?o { GRAPH ?g { <urn:s> <urn:p> ?o } }") == [("urn:g", "2"), ("urn:g", "deux")]
assert dataset.query("ASK { <urn:s> <urn:p> 1 }").askAnswer
assert len(dataset.query("CONSTRUCT WHERE { <urn:s> ?p ?o }").graph) == 1

dataset.update("INSERT DATA { <urn:s> <urn:p> 3 . GRAPH <urn:g> { <urn:s> <urn:p> 4 } }")
assert rows("SELECT ?o { <urn:s> <urn:p> ?o }") == [("1",), ("3",)]
dataset.update("DELETE { ?s ?p ?o } INSERT { GRAPH <urn:g> { ?s ?p ?o } } WHERE { ?s ?p ?o FILTER(?s = <urn:s>) }")
assert len(dataset) == before and len(graph) == 5
graph.remove((S, P, Literal(2)))
graph.parse(data="<urn:s> <urn:q> 1, 2 .", format="turtle")
assert len(graph) == 6
dataset.remove_graph(H)
assert H not in {graph.identifier for graph in dataset.graphs()}
assert len(dataset.graph(H)) == 0

name = URIRef("http://example.com/name")
read = Graph(SPARQLStore(f"{address}/query"))
assert {str(value) for value in read.objects(None, name)} == {"Alice", "Bjørn 🦀", 'tab\t, quote " and\nline'}
assert int(read.value(URIRef("http://example.com/alice"), URIRef("http://example.com/age"))) == 42

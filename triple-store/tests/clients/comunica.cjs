// Comunica: queries over an endpoint, joins of two sources, updates.

const assert = require("node:assert/strict");
const { QueryEngine } = require("@comunica/query-sparql");

const address = process.argv[2];
const endpoint = { type: "sparql", value: `${address}/query` };
const engine = new QueryEngine();

async function rows(query, sources = [endpoint]) {
  const stream = await engine.queryBindings(query, { sources });
  const values = (row) => [...row].sort(([a], [b]) => (a.value < b.value ? -1 : 1)).map(([, term]) => term.value);
  return (await stream.toArray()).map((row) => values(row).join(" ")).sort();
}

async function main() {
  const prefix = "PREFIX : <http://example.com/>";
  assert.deepEqual(await rows(`${prefix} SELECT ?n { ?s :name ?n FILTER(isIRI(?s)) }`), ["Alice", "Bjørn 🦀"]);
  assert.deepEqual(await rows(`${prefix} SELECT ?n { :alice :knows ?who OPTIONAL { ?who :born ?n } FILTER(BOUND(?n)) }`), ["2000-02-29"]);
  assert.deepEqual(await rows(`${prefix} SELECT (COUNT(*) AS ?n) { ?s :name ?o }`), ["3"]);
  const document = { type: "serialized", value: "<http://example.com/bob> <http://example.com/likes> 'tea' .", mediaType: "text/turtle", baseIRI: "http://example.com/" };
  assert.deepEqual(await rows(`${prefix} SELECT ?n ?what { ?s :name ?n ; :likes ?what }`, [endpoint, document]), ["Bjørn 🦀 tea"]);
  assert.equal(await engine.queryBoolean(`${prefix} ASK { ?s :age 042 }`, { sources: [endpoint] }), true);
  const graph = await engine.queryQuads(`${prefix} CONSTRUCT { ?s :older ?o } WHERE { ?s :age ?a . ?o :age ?b FILTER(?a > ?b) }`, { sources: [endpoint] });
  assert.deepEqual((await graph.toArray()).map((quad) => quad.object.value), ["http://example.com/bob"]);
  const destination = { type: "sparql", value: `${address}/update` };
  await engine.queryVoid("INSERT DATA { <urn:s> <urn:p> 1 . GRAPH <urn:g> { <urn:s> <urn:p> 2 } }", { sources: [destination], destination });
  assert.deepEqual(await rows("SELECT ?o { { <urn:s> ?p ?o } UNION { GRAPH ?g { <urn:s> ?p ?o } } }"), ["1", "2"]);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

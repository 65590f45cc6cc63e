//! Queries about linked nodes. Without a planner, each evaluates a product of large patterns.

use super::Question;

pub(super) const QUESTIONS: &[Question] = &[
    Question {
        name: "H1: NOT EXISTS over two patterns",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?n) { ?s :type ?t FILTER NOT EXISTS { ?s :link ?x . ?x :type :T3 } }".into()
        },
    },
    Question {
        name: "H2: EXISTS over a path",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?n) { ?s :type :T1 FILTER EXISTS { ?s :link/:link/:type :T2 } }".into()
        },
    },
    Question {
        name: "H3: a pattern of a computed IRI",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?n) { ?s :type :T1 ; :val ?v
             BIND(IRI(CONCAT(\"http://links.example/n\", STR(?v))) AS ?t) ?t :name ?m }"
                .into()
        },
    },
    Question {
        name: "H4: one of 5,000 nodes",
        text: |_, _| {
            let nodes: Vec<_> = (0..5000).map(|n| format!(":n{}", 2 * n)).collect();
            format!("SELECT (COUNT(*) AS ?n) {{ ?s :val ?v FILTER(?s IN ({})) }}", nodes.join(", "))
        },
    },
    Question {
        name: "H5: a join with a UNION",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?n) { ?a :type :T1 . { ?s :link ?o . ?s :next ?a } UNION { ?a :next ?o } }"
                .into()
        },
    },
    Question {
        name: "H6: a join with a filtered group",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?n) { ?a :type :T1 . { ?s :val ?o . ?s :next ?a FILTER(?o > 5) } }".into()
        },
    },
    Question {
        name: "H7: the greatest value, by NOT EXISTS",
        text: |_, _| "SELECT ?s { ?s :val ?v FILTER NOT EXISTS { ?t :val ?w FILTER(?w > ?v) } }".into(),
    },
    Question {
        name: "H8: a join by equal numbers",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?n) { ?a :val ?v . ?b :val ?w FILTER(?v = ?w) FILTER(?v < 1000) }".into()
        },
    },
    Question {
        name: "H9: a join by equal text",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?n) { ?a :type :T1 ; :name ?v . ?b :type :T2 ; :name ?w FILTER(STR(?v) = STR(?w)) }"
                .into()
        },
    },
    Question {
        name: "H10: all pairs on a ring of 1,500",
        text: |_, _| "SELECT (COUNT(*) AS ?n) { ?a :ring+ ?b }".into(),
    },
    Question {
        name: "H11: a type, and a path to a node",
        text: |_, _| "SELECT (COUNT(*) AS ?n) { ?x :type :T1 . ?x :link+ :n5 }".into(),
    },
    Question {
        name: "H12: OPTIONAL over a foreign key",
        text: |_, _| {
            "SELECT (COUNT(*) AS ?n) { ?c :type :T1 OPTIONAL { ?o :type :T2 . ?o :link ?c } }".into()
        },
    },
];

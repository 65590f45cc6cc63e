//! Forty queries. All stores answer each of them, and the answers are compared before anything is measured.
//!
//! A store that does not answer within [`MOST`] counts as if it had taken that long.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use oxrdf::{Literal, Term, Triple, vocab::xsd};
use triple_store::{CancellationToken, QueryResults};

use super::{
    Bench, Fresh, OURS, print,
    questions::{OF_LINKS, OF_THE_SHOP, Question, Shop},
    table,
};
use crate::{
    contenders::{quads::count, stores::Failure},
    harness::{Case, Comparison, Samples},
};

/// The number of texts of each question.
const TURNS: usize = 4;
/// The most time that a store has to answer.
const MOST: Duration = Duration::from_secs(5);

pub(super) fn queries(bench: &Bench) -> Result<(), Failure> {
    let asked = |question: &&Question| {
        let names = &bench.options.questions;
        names.is_empty() || names.iter().any(|name| question.name.starts_with(name))
    };
    let chosen = |questions: &[&'static [Question]]| -> Vec<&'static Question> {
        questions.iter().copied().flatten().filter(asked).collect()
    };
    let mut results = Results::default();
    for (questions, of_links) in [(chosen(&OF_THE_SHOP), false), (chosen(&OF_LINKS), true)] {
        if !questions.is_empty() {
            let stores = bench.holding(&if of_links { bench.links()? } else { bench.shop()?.0 })?;
            results.ask(bench, &stores, &questions)?;
        }
    }
    results.print();
    Ok(())
}

/// The time of every store for each question, and its ratio to ours.
#[derive(Default)]
struct Results {
    stores: Vec<&'static str>,
    questions: Vec<(&'static str, Vec<Took>)>,
}

/// The time of one store for a question.
struct Took {
    seconds: f64,
    /// `seconds` as a multiple of ours.
    ratio: f64,
    /// Whether it gave an answer.
    answered: bool,
}

impl Results {
    fn ask(&mut self, bench: &Bench, stores: &[Fresh], questions: &[&Question]) -> Result<(), Failure> {
        let shop = Shop { products: bench.options.products };
        self.stores = stores.iter().map(|fresh| fresh.name).collect();
        for question in questions {
            let texts = question.texts(TURNS, &shop);
            let answered = agree(question.name, stores, &texts)?;
            let mut cases: Vec<_> =
                answered.iter().map(|&(store, took)| asking(&stores[store], &texts, took)).collect();
            let compared = Comparison::measure(&mut cases, bench.plan, |_| ());
            let samples = |name: &str| compared.samples().iter().find(|samples| samples.label == name);
            let first = compared.samples().first().ok_or("no store answers in time")?;
            let ours = samples(OURS).unwrap_or(first);
            let took = stores.iter().map(|fresh| Took::of(samples(fresh.name), ours, texts.len()));
            self.questions.push((question.name, took.collect()));
        }
        Ok(())
    }

    fn print(&self) {
        let others: Vec<_> = (0..self.stores.len()).filter(|&store| self.stores[store] != OURS).collect();
        let mut header = vec!["query".to_owned()];
        header.extend(self.stores.iter().map(|name| (*name).to_owned()));
        header.extend(others.iter().map(|&store| format!("x {}", self.stores[store])));
        let mut rows = table::<0>([]);
        rows.set_header(header);
        for (name, took) in &self.questions {
            let mut row = vec![(*name).to_owned()];
            row.extend(took.iter().map(|took| took.in_row(format!("{:.0}", took.seconds * 1e6))));
            row.extend(others.iter().map(|&store| took[store].in_row(format!("{:.2}", took[store].ratio))));
            rows.add_row(row);
        }
        let of_links = |name: &str| name.starts_with('H');
        let means = [
            ("geometric mean", others.iter().map(|&store| self.mean(store, |_| true)).collect::<Vec<_>>()),
            ("of E1 to C1", others.iter().map(|&store| self.mean(store, |name| !of_links(name))).collect()),
            ("of H1 to H12", others.iter().map(|&store| self.mean(store, of_links)).collect()),
        ];
        for (title, means) in means {
            let mut row = vec![title.to_owned()];
            row.resize(1 + self.stores.len(), String::new());
            row.extend(means);
            rows.add_row(row);
        }
        print("queries, us", rows);
    }

    /// The geometric mean of the ratios of a store.
    fn mean(&self, store: usize, counts: impl Fn(&str) -> bool) -> String {
        let counted = self.questions.iter().filter(|(name, _)| counts(name));
        let logarithms: Vec<_> = counted.map(|(_, took)| took[store].ratio.ln()).collect();
        let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
        if logarithms.is_empty() { String::new() } else { format!("{:.2}", mean.exp()) }
    }
}

impl Took {
    /// `samples` is `None` for a store without an answer.
    fn of(samples: Option<&Samples>, ours: &Samples, texts: usize) -> Self {
        let texts = texts as f64;
        let Some(samples) = samples else {
            let seconds = MOST.as_secs_f64();
            return Self { seconds, ratio: seconds * texts / ours.time().median, answered: false };
        };
        let ratio = samples.times_slower_than(ours).median;
        Self { seconds: samples.time().median / texts, ratio, answered: true }
    }

    fn in_row(&self, figure: String) -> String {
        if self.answered { figure } else { format!("> {figure}") }
    }
}

/// An operation asks all `texts` once. If it `took` longer than [`LONG`], a sample is one operation.
fn asking<'a>(fresh: &'a Fresh, texts: &'a [String], took: Duration) -> Case<'a> {
    let token = CancellationToken::new();
    let ask = move || {
        for text in texts {
            let results = fresh.readable().query(text, &token).expect("the store answered before");
            read(results).expect("the store answered before");
        }
    };
    let timed = move |operations| {
        let start = Instant::now();
        for _ in 0..operations {
            ask();
        }
        start.elapsed()
    };
    if took > LONG { Case::fixed(fresh.name, 1, move || timed(1)) } else { Case::new(fresh.name, timed) }
}

/// From this time on, an operation is done once in each round, without calibration.
const LONG: Duration = Duration::from_millis(300);

/// Reads all rows and counts them.
fn read(results: QueryResults<'_>) -> Result<u64, Failure> {
    match results {
        QueryResults::Solutions(solutions) => count(solutions),
        QueryResults::Graph(triples) => count(triples),
        QueryResults::Boolean(holds) => Ok(u64::from(holds)),
    }
}

/// The rows as text, sorted.
fn rows(results: QueryResults<'_>) -> Result<Vec<String>, Failure> {
    let mut rows = Vec::new();
    match results {
        QueryResults::Solutions(solutions) => {
            for row in solutions {
                let mut values: Vec<_> =
                    row?.iter().map(|(name, value)| format!("{name} = {}", canonical(value))).collect();
                values.sort_unstable();
                rows.push(values.join(", "));
            }
        }
        QueryResults::Graph(triples) => {
            for triple in triples {
                let Triple { subject, predicate, object } = triple?;
                rows.push(format!("{subject} {predicate} {}", canonical(&object)));
            }
        }
        QueryResults::Boolean(holds) => rows.push(holds.to_string()),
    }
    rows.sort_unstable();
    Ok(rows)
}

/// A term as text. Decimal numbers are in one form, because Oxigraph does not keep the form in which they were loaded.
fn canonical(term: &Term) -> String {
    match term {
        Term::Literal(number) if number.datatype() == xsd::DECIMAL && number.value().contains('.') => {
            let value = number.value().trim_end_matches('0').trim_end_matches('.');
            Literal::new_typed_literal(value, xsd::DECIMAL).to_string()
        }
        term => term.to_string(),
    }
}

/// The rows that a store gives, or `None` after [`MOST`].
fn answer(fresh: &Fresh, text: &str) -> Result<Option<Vec<String>>, Failure> {
    let (token, (done, is_done)) = (CancellationToken::new(), mpsc::channel::<()>());
    thread::scope(|scope| {
        let cancel = || token.cancel();
        scope.spawn(move || {
            if is_done.recv_timeout(MOST) == Err(RecvTimeoutError::Timeout) {
                cancel();
            }
        });
        let found = fresh.readable().query(text, &token).and_then(rows);
        drop(done);
        if token.is_cancelled() { Ok(None) } else { found.map(Some) }
    })
}

/// Checks that all stores give the same rows, each the same number of times, and that some text has rows. Returns the
/// stores that answered, and how long each took for all `texts`.
fn agree(name: &str, stores: &[Fresh], texts: &[String]) -> Result<Vec<(usize, Duration)>, Failure> {
    let (mut answered, mut expected) = (Vec::new(), None);
    for (store, fresh) in stores.iter().enumerate() {
        let start = Instant::now();
        let found: Option<Vec<_>> =
            texts.iter().map(|text| answer(fresh, text).transpose()).collect::<Option<_>>().transpose()?;
        let Some(found) = found else { continue };
        answered.push((store, start.elapsed()));
        let expected = expected.get_or_insert_with(|| found.clone());
        for ((found, expected), text) in found.iter().zip(&*expected).zip(texts) {
            assert_eq!(found, expected, "{name} in {}: {text}", fresh.name);
        }
        assert!(found.iter().any(|rows| !rows.is_empty()), "{name} has no answers");
    }
    Ok(answered)
}

//! Forty queries. All stores answer each of them, and the answers are compared before anything is measured.
//!
//! A store that does not answer within [`MOST`] counts as if it had taken that long.

use std::time::Duration;

use super::{
    Bench, OURS,
    asked::{Answers, MOST},
    print,
    process::{Request, StoreProcess},
    questions::{OF_LINKS, OF_THE_SHOP, Question, Shop},
    table,
};
use crate::{
    contenders::stores::Failure,
    harness::{Case, Comparison, Samples},
};

/// The number of texts of each question.
const TURNS: usize = 4;

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
            let mut stores = bench.holding(&if of_links { bench.links()? } else { bench.shop()?.0 })?;
            results.ask(bench, &mut stores, &questions)?;
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
    fn ask(
        &mut self,
        bench: &Bench,
        stores: &mut [StoreProcess],
        questions: &[&Question],
    ) -> Result<(), Failure> {
        let shop = Shop { products: bench.options.products };
        self.stores = stores.iter().map(|store| store.name).collect();
        for question in questions {
            let texts = question.texts(TURNS, &shop);
            let answered = agree(question.name, stores, &texts)?;
            let mut cases: Vec<_> = stores
                .iter_mut()
                .zip(&answered)
                .filter_map(|(store, took)| Some(asking(store, (*took)?, bench.options.new_texts)))
                .collect();
            let compared = Comparison::measure(&mut cases, bench.plan, |_| ());
            let samples = |name: &str| compared.samples().iter().find(|samples| samples.label == name);
            let first = compared.samples().first().ok_or("no store answers in time")?;
            let ours = samples(OURS).unwrap_or(first);
            let took = self.stores.iter().map(|name| Took::of(samples(name), ours, texts.len()));
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

/// An operation asks all texts once. If it `took` longer than [`LONG`], a sample is one operation.
fn asking(store: &mut StoreProcess, took: Duration, new: bool) -> Case<'_> {
    let ask = move |times| Request::Ask { times, new };
    if took <= LONG {
        return store.case(ask);
    }
    let name = store.name;
    Case::fixed(name, 1, move || store.request(&ask(1)).expect("the store answered before"))
}

/// From this time on, an operation is done once in each round, without calibration.
const LONG: Duration = Duration::from_millis(300);

/// Checks that all stores give the same rows, each the same number of times, and that some text has rows. Returns how
/// long each store took for all `texts`, if it answered.
fn agree(
    name: &str,
    stores: &mut [StoreProcess],
    texts: &[String],
) -> Result<Vec<Option<Duration>>, Failure> {
    let mut expected = None;
    let mut took = Vec::new();
    for store in stores {
        let answers: Answers = store.request(&Request::Answer(texts.to_vec()))?;
        let Some((found, time)) = answers else {
            took.push(None);
            continue;
        };
        took.push(Some(time));
        let expected = expected.get_or_insert_with(|| found.clone());
        for ((found, expected), text) in found.iter().zip(&*expected).zip(texts) {
            assert_eq!(found, expected, "{name} in {}: {text}", store.name);
        }
        assert!(found.iter().any(|rows| !rows.is_empty()), "{name} has no answers");
    }
    Ok(took)
}

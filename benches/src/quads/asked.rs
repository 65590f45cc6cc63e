//! Stores that answer queries, each in a process of its own.
//!
//! Stores in one process share its allocator. A store that keeps many small allocations makes the allocations of the others
//! slower: a star query of triple-store took twice as long beside Oxigraph in the same process.

use std::{
    io::{BufRead, BufReader, Write, stdin},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use oxrdf::{Literal, Term, Triple, vocab::xsd};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tempfile::TempDir;
use triple_store::{CancellationToken, QueryResults};

use crate::contenders::{
    quads::{QuadEngine, ReadableQuads, count},
    stores::{Durability, Failure},
};

/// The most time that a store has to answer.
pub(super) const MOST: Duration = Duration::from_secs(5);

/// A line to the process of a store. The reply to `Answer` is an [`Answers`], and that to `Ask` a [`Duration`].
#[derive(Serialize, Deserialize)]
enum Request {
    /// The rows of each text.
    Answer(Vec<String>),
    /// The time to ask the texts of the last `Answer`, all of them `times` times. If `new`, a comment makes each text
    /// unlike all texts before it.
    Ask { times: u64, new: bool },
}

/// The sorted rows of each text, and the time that all took. `None` if one took longer than [`MOST`].
pub(super) type Answers = Option<(Vec<Vec<String>>, Duration)>;

/// A store in another process.
pub(super) struct Asked {
    pub(super) name: &'static str,
    process: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
    _dir: TempDir,
}

impl Asked {
    /// Starts a process with a store that holds the triples of the file. `None` if the store can't be read.
    pub(super) fn start(engine: &QuadEngine, file: &Path, dir: TempDir) -> Result<Option<Self>, Failure> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--answer", engine.name])
            .args([file, dir.path()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = process.stdin.take().expect("it is piped");
        let replies = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut asked = Self { name: engine.name, process, requests, replies, _dir: dir };
        let can_be_read: bool = asked.reply()?;
        Ok(can_be_read.then_some(asked))
    }

    pub(super) fn answers(&mut self, texts: &[String]) -> Result<Answers, Failure> {
        self.request(&Request::Answer(texts.to_vec()))
    }

    /// The time to ask all texts of the last [`answers`](Self::answers) `times` times. If `new`, a comment makes each
    /// text one that the store has not parsed before.
    pub(super) fn ask(&mut self, times: u64, new: bool) -> Result<Duration, Failure> {
        self.request(&Request::Ask { times, new })
    }

    fn request<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, Failure> {
        writeln!(self.requests, "{}", serde_json::to_string(request)?)?;
        self.reply()
    }

    fn reply<T: DeserializeOwned>(&mut self) -> Result<T, Failure> {
        let mut line = String::new();
        if self.replies.read_line(&mut line)? == 0 {
            return Err(format!("the process of {} has ended", self.name).into());
        }
        Ok(serde_json::from_str(&line)?)
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        // It holds nothing that is still needed.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Loads the file into a new store, and answers the requests of the process that measures this one.
pub(super) fn answer_in_this_process(engine: &QuadEngine, file: &Path, dir: &Path) -> Result<(), Failure> {
    let store = (engine.open)(dir, Durability::Buffered)?;
    let Some(store) = store.as_readable() else { return reply(&false) };
    store.load(file)?;
    store.checkpoint()?;
    reply(&true)?;
    let (mut texts, mut asked_before) = (Vec::new(), 0u64);
    for line in stdin().lines() {
        match serde_json::from_str(&line?)? {
            Request::Answer(asked) => {
                texts = asked;
                let start = Instant::now();
                let rows: Option<Vec<_>> = texts
                    .iter()
                    .map(|text| answer(store, text).transpose())
                    .collect::<Option<_>>()
                    .transpose()?;
                let answers: Answers = rows.map(|rows| (rows, start.elapsed()));
                reply(&answers)?;
            }
            Request::Ask { times, new } => {
                let (token, start) = (CancellationToken::new(), Instant::now());
                for _ in 0..times {
                    for text in &texts {
                        asked_before += 1;
                        let text = if new { &format!("{text} # {asked_before}") } else { text };
                        read(store.query(text, &token)?)?;
                    }
                }
                reply(&start.elapsed())?;
            }
        }
    }
    Ok(())
}

fn reply(reply: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(reply)?);
    Ok(())
}

/// Reads all rows and counts them.
fn read(results: QueryResults<'_>) -> Result<u64, Failure> {
    match results {
        QueryResults::Solutions(solutions) => count(solutions),
        QueryResults::Graph(triples) => count(triples),
        QueryResults::Boolean(holds) => Ok(u64::from(holds)),
    }
}

/// The rows that a store gives, or `None` after [`MOST`].
fn answer(store: &dyn ReadableQuads, text: &str) -> Result<Option<Vec<String>>, Failure> {
    let (token, (done, is_done)) = (CancellationToken::new(), mpsc::channel::<()>());
    thread::scope(|scope| {
        let cancel = || token.cancel();
        scope.spawn(move || {
            if is_done.recv_timeout(MOST) == Err(RecvTimeoutError::Timeout) {
                cancel();
            }
        });
        let found = store.query(text, &token).and_then(rows);
        drop(done);
        if token.is_cancelled() { Ok(None) } else { found.map(Some) }
    })
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

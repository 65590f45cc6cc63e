//! Stores in processes of their own.
//!
//! Stores in one process share its allocator. A store that keeps many small allocations makes the allocations of the others
//! slower: a star query of triple-store took twice as long beside Oxigraph in the same process.

use std::{
    io::{BufRead, BufReader, Write, stdin},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tempfile::TempDir;

use super::{
    Bench,
    asked::Texts,
    reads::{Reader, Reading},
    writes::{Subjects, Writing},
};
use crate::{
    contenders::{
        quads::{QuadEngine, QuadStore, ReadableQuads},
        stores::{Durability, Failure},
    },
    harness::Case,
};

/// The store of a process.
#[derive(Serialize, Deserialize)]
struct Start {
    engine: String,
    dir: PathBuf,
    durability: Durability,
    /// A file to load. The store has to be one that can be read.
    file: Option<PathBuf>,
}

/// A line to the process of a store, which replies with a line.
#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    /// For the rows of each text. The reply is an [`Answers`](super::asked::Answers).
    Answer(Vec<String>),
    /// For the time to ask the texts of the last `Answer`, all of them `times` times. If `new`, a comment makes each text
    /// unlike all texts before it.
    Ask { times: u64, new: bool },
    /// For the time that this number of reads takes.
    Read(Reading, u64),
    /// For the time that this number of writes takes, by all threads together.
    Write(Writing, u64),
    /// For the seconds of each lookup that one thread made in `time`, beside threads that insert.
    ReadBeside { reading: Reading, writers: usize, time: Duration },
}

/// A store in another process.
pub(super) struct StoreProcess {
    pub(super) name: &'static str,
    process: Child,
    requests: ChildStdin,
    replies: BufReader<ChildStdout>,
    _dir: TempDir,
}

impl Bench {
    /// Every store that can be read, with the triples of the file.
    pub(super) fn holding(&self, file: &Path) -> Result<Vec<StoreProcess>, Failure> {
        let start = |engine| StoreProcess::start(engine, self.fresh()?, Durability::Synced, Some(file));
        self.engines.iter().map(start).filter_map(Result::transpose).collect()
    }

    /// A new, empty store of every engine that is on disk.
    pub(super) fn on_disk(&self, durability: Durability) -> Result<Vec<StoreProcess>, Failure> {
        let engines = self.engines.iter().filter(|engine| engine.on_disk);
        let start = |engine| StoreProcess::start(engine, self.fresh()?, durability, None);
        engines.map(start).filter_map(Result::transpose).collect()
    }
}

impl StoreProcess {
    /// `None` if there is a file to load, and the store can't be read.
    fn start(
        engine: &QuadEngine,
        dir: TempDir,
        durability: Durability,
        file: Option<&Path>,
    ) -> Result<Option<Self>, Failure> {
        let start = Start {
            engine: engine.name.to_owned(),
            dir: dir.path().to_owned(),
            durability,
            file: file.map(Path::to_owned),
        };
        let mut process = Command::new(std::env::current_exe()?)
            .args(["--serve", &serde_json::to_string(&start)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = process.stdin.take().expect("it is piped");
        let replies = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut store = Self { name: engine.name, process, requests, replies, _dir: dir };
        let is_ready: bool = store.reply()?;
        Ok(is_ready.then_some(store))
    }

    pub(super) fn request<T: DeserializeOwned>(&mut self, request: &Request) -> Result<T, Failure> {
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

    /// A case that measures what `request` asks for. It is called with a number of operations.
    pub(super) fn case<'a>(&'a mut self, request: impl Fn(u64) -> Request + 'a) -> Case<'a> {
        Case::new(self.name, move |operations| {
            self.request(&request(operations)).expect("the store does what is asked for")
        })
    }
}

impl Drop for StoreProcess {
    fn drop(&mut self) {
        // It holds nothing that is still needed.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// Opens the store that `start` describes, and does what the process that measures this one requests.
pub(super) fn serve(engines: &[QuadEngine], start: &str) -> Result<(), Failure> {
    let start: Start = serde_json::from_str(start)?;
    let engine = engines.iter().find(|engine| engine.name == start.engine).ok_or("no store of that name")?;
    let store = (engine.open)(&start.dir, start.durability)?;
    if let Some(file) = &start.file {
        let Some(readable) = store.as_readable() else { return reply(&false) };
        readable.load(file)?;
        readable.checkpoint()?;
    }
    reply(&true)?;
    let (subjects, mut texts, mut reader) = (Subjects::default(), Texts::default(), Reader::default());
    for line in stdin().lines() {
        match serde_json::from_str(&line?)? {
            Request::Answer(asked) => reply(&texts.answers(readable(&*store)?, asked)?)?,
            Request::Ask { times, new } => reply(&texts.ask(readable(&*store)?, times, new)?)?,
            Request::Read(reading, times) => reply(&reader.read(readable(&*store)?, reading, times)?)?,
            Request::Write(writing, times) => reply(&writing.run(&*store, &subjects, times))?,
            Request::ReadBeside { reading, writers, time } => {
                reply(&reader.read_beside(&*store, &subjects, reading, writers, time)?)?;
            }
        }
    }
    Ok(())
}

pub(super) fn readable(store: &dyn QuadStore) -> Result<&dyn ReadableQuads, Failure> {
    Ok(store.as_readable().ok_or("the store can't be read")?)
}

fn reply(reply: &impl Serialize) -> Result<(), Failure> {
    println!("{}", serde_json::to_string(reply)?);
    Ok(())
}

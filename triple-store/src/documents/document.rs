//! Parsing a document and encoding its terms as ids.
//!
//! Line formats are cut into blocks at line ends. As many threads as there are cores parse the blocks, and intern the
//! terms in the striped dictionary.

use crate::documents::blank::Scope;
use crate::documents::nesting::{self, Nesting};
use crate::engine::bulk::Batches;
use crate::error::{Error, Result};
use crate::parallel;
use crate::storage::dictionary::Dictionary;
use crate::terms::prefixes::well_known;
use crate::terms::quad::EncodedQuad;
use oxrdf::Quad;
use oxrdfio::{RdfParseError, RdfParser};
use parking_lot::Mutex;
use spareval::CancellationToken;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// A document that is being parsed.
pub(crate) struct Document<'a> {
    pub(crate) dictionary: &'a Dictionary,
    /// Where quads go when they are too many for memory.
    pub(crate) batches: Option<&'a Batches<'a>>,
    pub(crate) parser: RdfParser,
    pub(crate) name: &'a str,
    pub(crate) blanks: Scope,
    pub(crate) limits: &'a Limits,
    /// The line that is being read, for parsers that do not report it.
    pub(crate) line: AtomicU64,
}

/// The limits of a document.
#[derive(Clone, Default)]
pub(crate) struct Limits {
    pub(crate) token: Option<CancellationToken>,
    /// The most quads that it may have, and the limit that an error message names.
    pub(crate) most: Option<(usize, usize)>,
}

impl Limits {
    /// Returns an error if the document must not be read further after this many quads.
    pub(crate) fn check(&self, quads: usize) -> Result<()> {
        if self.token.as_ref().is_some_and(CancellationToken::is_cancelled) {
            return Err(Error::Cancelled);
        }
        match self.most {
            Some((most, limit)) if quads > most => Err(Error::TooManyChanges(limit)),
            _ => Ok(()),
        }
    }
}

/// A piece of a line format, from the start of a line to the end of one.
struct Block {
    number: usize,
    /// The number of lines before the block.
    lines: u64,
    text: Vec<u8>,
}

/// The number of bytes that are read at a time. A block ends at the last line end in them.
pub(crate) const BLOCK: usize = 1 << 20;

impl Document<'_> {
    /// Encodes parsed quads and appends them. `lines` is the number of lines before the parser's first.
    pub(crate) fn encode(
        &self,
        quads: impl Iterator<Item = Result<Quad, RdfParseError>>,
        lines: u64,
        encoded: &mut Vec<EncodedQuad>,
    ) -> Result<()> {
        for quad in quads {
            let mut quad = quad.map_err(|error| self.located(error, lines))?;
            self.blanks.rename(&mut quad);
            encoded.push(self.dictionary.intern_quad(nesting::checked(quad.as_ref())?)?);
            self.limits.check(encoded.len())?;
            if let Some(batches) = self.batches {
                batches.make_room(encoded)?;
            }
        }
        Ok(())
    }

    /// Encodes a line format, block by block in parallel, in no particular order. If there are several errors, the
    /// first in the document is reported.
    pub(crate) fn lines(&self, mut reader: impl Read) -> Result<Vec<EncodedQuad>> {
        let threads = parallel::threads();
        // At most one block for each thread is in the channel, so memory does not depend on the size of the document.
        let (send, receive) = mpsc::sync_channel::<Block>(threads);
        let receive = Arc::new(Mutex::new(receive));
        let failed = &AtomicBool::new(false);
        thread::scope(|scope| {
            let work = |receive: Arc<Mutex<Receiver<Block>>>| {
                parallel::lower_priority();
                let mut encoded = Vec::new();
                // Blocks are sent in order, so the first error of the document is in a block that a thread has taken.
                while !failed.load(Ordering::Relaxed)
                    && let Ok(block) = { receive.lock().recv() }
                {
                    let quads =
                        self.parser.clone().for_slice(&block.text).map(|quad| quad.map_err(Into::into));
                    if let Err(error) = self.encode(quads, block.lines, &mut encoded) {
                        failed.store(true, Ordering::Relaxed);
                        return Err((block.number, error));
                    }
                }
                let ended = self.batches.map_or(Ok(()), |batches| batches.end(&mut encoded));
                ended.map(|()| encoded).map_err(|error| (usize::MAX, error))
            };
            let spawn = |_| {
                scope.spawn({
                    let receive = Arc::clone(&receive);
                    move || work(receive)
                })
            };
            let workers: Vec<_> = (0..threads).map(spawn).collect();
            // From here on only the workers have the receiver. Once they have ended, sending fails.
            drop(receive);
            let read = self.cut(&mut reader, |block| send.send(block).is_ok());
            drop(send);
            let (mut parts, mut errors) = (Vec::new(), Vec::new());
            for worker in workers {
                match worker.join().expect("parsers don't panic") {
                    Ok(part) => parts.push(part),
                    Err(error) => errors.push(error),
                }
            }
            errors.extend(read.err().map(|error| (usize::MAX, error)));
            if let Some((_, error)) = errors.into_iter().min_by_key(|(number, _)| *number) {
                return Err(error);
            }
            let quads = joined(parts);
            let on_disk = self.batches.map_or(0, Batches::quads);
            self.limits.check(on_disk as usize + quads.len())?;
            Ok(quads)
        })
    }

    /// Cuts a text into blocks, until `take` returns false.
    fn cut(&self, reader: &mut impl Read, mut take: impl FnMut(Block) -> bool) -> Result<()> {
        let (mut number, mut lines, mut rest) = (0, 0, Vec::new());
        loop {
            let mut text = std::mem::take(&mut rest);
            let read = reader.by_ref().take(BLOCK as u64).read_to_end(&mut text);
            let ended = read.map_err(|source| self.located(RdfParseError::Io(source), 0))? == 0;
            if !ended {
                // If a line is longer than a block, more is read until its end.
                let end = memchr::memrchr(b'\n', &text).map_or(0, |at| at + 1);
                rest = text.split_off(end);
            }
            Nesting::check(&text)?;
            let lines_in = memchr::memchr_iter(b'\n', &text).count() as u64;
            if !text.is_empty() && !take(Block { number, lines, text }) || ended {
                return Ok(());
            }
            number += 1;
            lines += lines_in;
        }
    }

    /// A parser's error, with the line and column as editors count them.
    pub(crate) fn located(&self, error: RdfParseError, lines: u64) -> Error {
        let name = || self.name.to_owned();
        match error {
            RdfParseError::Io(source) => match source.downcast::<Error>() {
                Ok(error) => error,
                // The error of the Turtle parsers for a token that does not fit into their buffer.
                Err(source) if source.to_string().starts_with("Reached the buffer maximal size") => {
                    nesting::too_long()
                }
                Err(source) => Error::Io { name: name(), source },
            },
            RdfParseError::Syntax(error) => {
                let (line, column) = match error.location() {
                    Some(place) => (lines + place.start.line + 1, place.start.column + 1),
                    None => (self.line.load(Ordering::Relaxed), 1),
                };
                Error::Syntax { file: name(), line, column, message: message(&error.to_string()) }
            }
        }
    }
}

/// A parser's message without the position, which the error has already, and with a hint.
fn message(reported: &str) -> String {
    let placed = reported.strip_prefix("Parser error ").and_then(|rest| rest.split_once(": "));
    let what = placed.map_or(reported, |(_, what)| what);
    if what.starts_with("No scheme found") {
        return format!("{what}: it is relative, so give a base IRI, by @base or --base");
    }
    let prefix = what.strip_prefix("The prefix ").and_then(|rest| rest.split_once(':'));
    match prefix.and_then(|(prefix, _)| Some((prefix, well_known(prefix)?))) {
        Some((prefix, iri)) => format!("{what} ({prefix}: <{iri}> is well known)"),
        None => what.to_owned(),
    }
}

/// Appends all parts to the largest one.
fn joined(mut parts: Vec<Vec<EncodedQuad>>) -> Vec<EncodedQuad> {
    parts.sort_unstable_by_key(Vec::len);
    let mut all = parts.pop().unwrap_or_default();
    for mut part in parts {
        all.append(&mut part);
    }
    all
}

/// A reader that returns one line at a time, so that the line number is known if the parser finds an error.
pub(crate) struct ByLine<'a, R> {
    reader: BufReader<R>,
    line: &'a AtomicU64,
    ended: bool,
}

impl<'a, R: Read> ByLine<'a, R> {
    pub(crate) fn new(reader: R, line: &'a AtomicU64) -> Self {
        Self { reader: BufReader::new(reader), line, ended: true }
    }
}

impl<R: Read> Read for ByLine<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let text = self.reader.fill_buf()?;
        let text = &text[..text.len().min(buffer.len())];
        let length = memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1);
        buffer[..length].copy_from_slice(&text[..length]);
        if length > 0 {
            self.line.fetch_add(u64::from(self.ended), Ordering::Relaxed);
            self.ended = buffer[length - 1] == b'\n';
        }
        self.reader.consume(length);
        Ok(length)
    }
}

/// A reader that reports its progress.
pub(crate) struct Counted<'a, R> {
    pub(crate) reader: R,
    pub(crate) progress: Option<&'a (dyn Fn(u64) + Send + Sync)>,
    pub(crate) limits: Option<&'a Limits>,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.limits.map_or(Ok(()), |limits| limits.check(0)).map_err(io::Error::other)?;
        let read = self.reader.read(buffer)?;
        if let Some(progress) = self.progress {
            progress(read as u64);
        }
        Ok(read)
    }
}

//! The limit for the depth of queries. Parser, optimizer and evaluator are recursive, and a stack overflow ends the
//! process. So a scan that does not recurse measures a text before it is parsed. A text that is too deep is refused.
//! Any other is evaluated with the stack that its depth may need.
//!
//! The scan reads the same tokens as the parser. If the parser may read them in two ways, the scan counts both, so
//! the measure may be too large but is never too small.

use crate::error::{Error, Result};

/// The most nested brackets.
const NESTING: usize = 128;

/// The most nested `OPTIONAL`s. Each doubles the time of the optimizer, which can't be cancelled.
const OPTIONALS: usize = 12;

/// The most nested negated brackets. The parser reads each twice if there is an error inside.
const NEGATIONS: usize = 8;

/// The most links. Links make a tree deep without nesting: consecutive brackets, operators, and the signs that
/// separate triples.
const LINKS: usize = 4096;

/// How many links a triple counts for. The time of planning grows at least with the square of the number of triples,
/// and planning can't be cancelled.
const TRIPLE: usize = 4;

/// The stack for a text without nesting, for each open bracket, and for each link: several times what an optimized
/// build uses. In an unoptimized build, the evaluator uses up to 40 KiB for a link.
const FLAT: usize = 128 << 10;
const PER_BRACKET: usize = BUILD * (192 << 10);
const PER_LINK: usize = BUILD * (12 << 10);
const BUILD: usize = if cfg!(debug_assertions) { 4 } else { 1 };

/// The keywords before blocks without expressions, which contain lists of quads or rows.
const BLOCKS: [&[u8]; 5] = [b"DATA", b"VALUES", b"INSERT", b"DELETE", b"CONSTRUCT"];

const OPTIONAL: &[u8] = b"OPTIONAL";

/// The stack that a text may need.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room(usize);

impl Room {
    /// Measures a text.
    ///
    /// # Errors
    ///
    /// [`Error::TooDeep`].
    pub(crate) fn of(text: &str) -> Result<Self> {
        let mut scan = Scan { rest: text.as_bytes(), ..Scan::default() };
        while let [byte, ..] = scan.rest {
            scan.token(*byte)?;
        }
        Ok(Self(FLAT + PER_BRACKET * scan.most_open + PER_LINK * scan.most_links.max(scan.links)))
    }

    /// The limit of [`is_small`](Self::is_small).
    pub(super) const SMALL: Self = Self(FLAT + 16 * PER_BRACKET + 512 * PER_LINK);

    pub(super) fn is_small(self) -> bool {
        self.0 <= Self::SMALL.0
    }

    /// Runs work on the text with that much stack: on this thread's stack if enough is left, otherwise on a new one.
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        stacker::maybe_grow(self.0, self.0 + FLAT, work)
    }
}

/// The kind of a bracket.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Next {
    #[default]
    Plain,
    Optional,
    Negated,
}

#[derive(Default)]
struct Scan<'a> {
    rest: &'a [u8],
    /// The byte before.
    before: u8,
    /// The number of consecutive terms so far.
    terms: usize,
    /// The open brackets, and the largest number of them so far.
    open: Vec<u8>,
    most_open: usize,
    /// The number of links so far. In an update, of the current operation.
    links: usize,
    most_links: usize,
    /// The depth of the open block without expressions, if there is one, and whether the next block is one.
    block: Option<usize>,
    block_follows: bool,
    /// The kind of the next bracket, and the depths of the open brackets of each kind.
    next: Next,
    optionals: Vec<usize>,
    negations: Vec<usize>,
    /// Set once the parser may read the text in two ways. From there on, the scan skips no strings, comments or IRIs,
    /// and closes no bracket.
    doubt: bool,
}

impl Scan<'_> {
    fn token(&mut self, byte: u8) -> Result<()> {
        let mut length = 1;
        let terms = self.terms;
        match byte {
            b'#' if !self.doubt => {
                length = memchr::memchr2(b'\n', b'\r', self.rest).unwrap_or(self.rest.len());
            }
            b'"' | b'\'' if !self.doubt => {
                self.term()?;
                match string(self.rest) {
                    Some(all) => length = all,
                    None => self.doubt = true,
                }
            }
            b'<' => length = self.less()?,
            b'{' | b'(' | b'[' => {
                self.link(1)?;
                self.open(byte)?;
                if byte == b'{' {
                    self.begin()?;
                }
            }
            b'}' | b')' | b']' => self.close(),
            b'>' if self.rest.starts_with(b">>") && self.open.last() == Some(&b'<') => {
                length = 2;
                self.close();
            }
            // An escape in a name.
            b'\\' if !self.doubt => length = self.rest.len().min(2),
            // `^^` begins a datatype and is not an operator.
            b'^' if self.rest.starts_with(b"^^") => length = 2,
            b'+' | b'-' | b'*' | b'|' | b'&' | b'!' | b'^' => self.link(1)?,
            b';' if self.open.is_empty() => self.end_operation(),
            // The term before the comma was counted already.
            b',' if self.is_list() => self.links = self.links.saturating_sub(1),
            // A path becomes triples too.
            b'.' | b',' | b';' | b'/' | b'~' => self.link(TRIPLE)?,
            _ if is_word(byte) => length = self.word()?,
            _ => {}
        }
        // The name of a function may be between the sign and its bracket.
        if !is_word(byte) && !byte.is_ascii_whitespace() && !matches!(byte, b'#' | b'<') {
            let negates = byte == b'!' && self.rest.get(1) != Some(&b'=');
            match self.next {
                _ if negates => self.next = Next::Negated,
                Next::Negated => self.next = Next::Plain,
                Next::Plain | Next::Optional => {}
            }
        }
        if self.terms == terms && !byte.is_ascii_whitespace() && byte != b'#' {
            self.terms = 0;
        }
        (self.before, self.rest) = (self.rest[length - 1], &self.rest[length..]);
        Ok(())
    }

    fn open(&mut self, bracket: u8) -> Result<()> {
        self.open.push(bracket);
        self.most_open = self.most_open.max(self.open.len());
        if self.most_open > NESTING {
            return Err(Error::TooDeep { what: "open brackets", most: NESTING });
        }
        if self.next == Next::Negated {
            self.next = Next::Plain;
            self.negations.push(self.open.len());
        }
        if self.negations.len() > NEGATIONS {
            return Err(Error::TooDeep { what: "negations inside each other", most: NEGATIONS });
        }
        Ok(())
    }

    /// Begins a block in braces.
    fn begin(&mut self) -> Result<()> {
        if std::mem::take(&mut self.block_follows) {
            self.block = self.block.or(Some(self.open.len()));
        }
        if std::mem::take(&mut self.next) == Next::Optional {
            self.optionals.push(self.open.len());
        }
        if self.optionals.len() > OPTIONALS {
            return Err(Error::TooDeep { what: "OPTIONALs inside each other", most: OPTIONALS });
        }
        Ok(())
    }

    fn close(&mut self) {
        if !self.doubt {
            for open in [&mut self.optionals, &mut self.negations] {
                open.pop_if(|depth| *depth == self.open.len());
            }
            if self.block == Some(self.open.len()) {
                self.block = None;
            }
            self.open.pop();
        }
    }

    fn link(&mut self, links: usize) -> Result<()> {
        if self.block.is_none() || self.doubt {
            self.links += links;
        }
        if self.links > LINKS {
            return Err(Error::TooDeep { what: "linked parts", most: LINKS });
        }
        Ok(())
    }

    /// Whether the terms here are those of a list, not of triples.
    fn is_list(&self) -> bool {
        !self.doubt && matches!(self.open.last(), None | Some(b'('))
    }

    fn term(&mut self) -> Result<()> {
        self.terms += 1;
        // Two consecutive terms belong to a collection, which becomes triples, or have a keyword between them.
        let is_triple = self.terms > 1 && self.open.last() == Some(&b'(');
        match self.is_list() {
            true if is_triple => self.link(TRIPLE),
            true => self.link(1),
            false => Ok(()),
        }
    }

    /// Operations of an update are parsed and run one after the other.
    fn end_operation(&mut self) {
        self.most_links = self.most_links.max(self.links);
        (self.links, self.block_follows) = (0, false);
    }

    fn word(&mut self) -> Result<usize> {
        let length = self.rest.iter().position(|byte| !is_word(*byte)).unwrap_or(self.rest.len());
        let word = &self.rest[..length];
        self.term()?;
        if !self.is_list() {
            self.link(TRIPLE * memchr::memchr_iter(b'.', word).count())?;
        }
        // The parser also accepts the keyword directly after a number.
        let end = &word[length.saturating_sub(OPTIONAL.len())..];
        match self.next {
            _ if end.eq_ignore_ascii_case(OPTIONAL) => self.next = Next::Optional,
            Next::Optional => self.next = Next::Plain,
            Next::Plain | Next::Negated => {}
        }
        // A word, not the end of a name like `ex:some-data` or of a tag like `@values`.
        if self.before.is_ascii_whitespace() || matches!(self.before, 0 | b'{' | b'}' | b')' | b';') {
            self.block_follows |= BLOCKS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword));
            self.block_follows &= !word.eq_ignore_ascii_case(b"WHERE");
        }
        Ok(length)
    }

    /// A token that starts with `<`: an IRI, a triple, or the operator.
    fn less(&mut self) -> Result<usize> {
        let outside =
            |byte: &u8| matches!(byte, b'<' | b'>' | b'"' | b'{' | b'}' | b'|' | b'^' | b'`' | 0..=b' ');
        let text = &self.rest[1..];
        match text.iter().position(outside) {
            Some(length) if text[length] == b'>' && !self.doubt => {
                let iri = &text[..length];
                // A block contains no operators, and after an operator there is no name with two slashes.
                if self.block.is_none() && !has_authority(iri) {
                    if iri.iter().any(|byte| matches!(byte, b'\'' | b'(' | b'[' | b'#' | b'\\')) {
                        self.doubt = true;
                        return Ok(1);
                    }
                    let signs = |byte: &&u8| {
                        matches!(byte, b'+' | b'-' | b'*' | b'/' | b'&' | b'!' | b'.' | b',' | b';')
                    };
                    self.link(iri.iter().filter(signs).count())?;
                }
                self.term()?;
                Ok(length + 2)
            }
            _ if text.starts_with(b"<") => {
                self.link(1)?;
                self.open(b'<')?;
                Ok(2)
            }
            _ => Ok(1),
        }
    }
}

/// Whether an IRI begins like `http://`.
fn has_authority(iri: &[u8]) -> bool {
    let scheme = iri.iter().position(|byte| !byte.is_ascii_alphanumeric()).unwrap_or(iri.len());
    iri[scheme..].starts_with(b"://")
}

/// Bytes of names, of variables and of prefixed names up to their hyphens.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'?' | b'$' | b'.' | 0x80..)
}

/// The length of the string that starts here, short or long. `None` if it is not well formed.
pub(super) fn string(text: &[u8]) -> Option<usize> {
    let quote = text[0];
    let long = text.starts_with(&[quote; 3]);
    let (mut at, end): (usize, &[u8]) = if long { (3, &[quote; 3]) } else { (1, &[quote]) };
    loop {
        match *text.get(at)? {
            b'\\' => at += escape(&text[at + 1..])?,
            b'\n' | b'\r' if !long => return None,
            _ if text[at..].starts_with(end) => return Some(at + end.len()),
            _ => at += 1,
        }
    }
}

/// The length of an escape, by the text after its backslash.
fn escape(text: &[u8]) -> Option<usize> {
    let digits = match text.first()? {
        b'u' => 4,
        b'U' => 8,
        b't' | b'b' | b'n' | b'r' | b'f' | b'"' | b'\'' | b'\\' => return Some(2),
        _ => return None,
    };
    let code = text.get(1..=digits).filter(|code| code.iter().all(u8::is_ascii_hexdigit))?;
    let code = u32::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?;
    char::from_u32(code).map(|_| digits + 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str) -> bool {
        Room::of(text).is_ok()
    }

    #[test]
    fn nesting_and_links_are_bounded_in_every_construct() {
        for bracket in ["{", "(", "[", "<<", "1 < (", "<a(b> (", "\"\\u+123\" ("] {
            assert!(!passes(&bracket.repeat(NESTING + 1)), "{bracket}");
        }
        assert!(passes(&"{".repeat(NESTING)));
        for part in ["OPTIONAL {", "?s ?p 1optional#\n{", "<a'b> OPTIONAL { }"] {
            assert!(passes(&part.repeat(OPTIONALS)) && !passes(&part.repeat(OPTIONALS + 1)), "{part}");
        }
        assert!(passes(&"OPTIONAL { ?s ?p ?o } ".repeat(100)));
        for part in ["!(", "! # (\n (", "!!(", "!ex:f(", "!<urn:f>(", "!EXISTS {", "(!("] {
            assert!(passes(&part.repeat(NEGATIONS)) && !passes(&part.repeat(NEGATIONS + 1)), "{part}");
        }
        for text in ["!(1) && ", "!?a || (1) || ", "?a != (1) && ", "!bound(?a) && "] {
            assert!(passes(&text.repeat(100)), "{text}");
        }
        assert!(passes(&"{}".repeat(LINKS)) && !passes(&"{}".repeat(LINKS + 1)));
        for part in [
            "!",
            "/<urn:p>",
            " || ?a",
            " - 1",
            "-1",
            "?s ?p ?o . ",
            "?s ?p ?o.",
            "?o, ",
            "?p ?o ; ",
            "FILTER f(1)",
            "BIND (1 AS ?x)",
            "(1)",
            "~?r ",
            "{} UNION ",
        ] {
            assert!(!passes(&format!("{{ {}", part.repeat(LINKS + 1))), "{part}");
        }
        assert!(!passes(&format!("{{ ?s ?p ({}) }}", "1 ".repeat(LINKS + 1))), "a collection");
        assert!(!passes(&format!("DESCRIBE {}", "<urn:a> ".repeat(LINKS + 1))));
        let after_data = format!("INSERT DATA {{ }} ; DELETE WHERE {{ {} }}", "!".repeat(LINKS + 1));
        assert!(!passes(&after_data), "the block of data has ended");
        for name in ["?data", "ex:data", "ex:some-data", "\"\"@values", "_:data", "$values", "DELETE WHERE"] {
            assert!(!passes(&format!("{name} {{ {} }}", "!".repeat(LINKS + 1))), "{name} opens no block");
        }
    }

    #[test]
    fn ambiguous_text_counts_in_both_readings() {
        let deep = "(".repeat(NESTING + 1);
        for text in [
            format!("FILTER(1<{deep}1>2)"),
            format!("FILTER(1<'>'{deep}')"),
            format!("FILTER(1<a:#> '''\n {deep} '''"),
            format!("(''' ' {deep}"),
            format!("(\"\"\"a\" {deep} \\q\"\"\""),
            format!("ex:a\\'{deep}'"),
            format!("FILTER(1<a:\\'>{deep}')"),
            format!("FILTER(1<((1://>{deep}"),
        ] {
            assert!(!passes(&text), "{text}");
        }
        assert!(!passes(&format!("{{ FILTER(1<-{}1>2)", "-".repeat(LINKS))));
    }

    #[test]
    fn strings_comments_and_data_do_not_count() {
        let many = |part: &str| part.repeat(LINKS + 1);
        for text in [
            format!("\"{}\"", many("{")),
            format!("'''{}'\\''''", many("{\"")),
            format!("\"{}\"", many("\\u00e9\\t(")),
            format!("<http://example.com/{}>", many("(-/'#")),
            format!("#{}\n", many("{")),
            format!("{{ {} }}", many("\"1\"^^<urn:t> ")),
            format!("{{ {} }}", many("?union ex:union ")),
            format!("FILTER(?x IN ({}))", many("<http://example.com/a-b>, ")),
            format!("VALUES (?a ?b) {{ {} }}", many("(-1 +1) ")),
            format!("INSERT # {{\n data {{ GRAPH <urn:g> {{ {} }} }}", many("<urn:s> <urn:p> -1, <#it's>. ")),
            format!("DELETE {{ {} }} WHERE {{ }}", many("<s> <urn:p> 1 . ")),
            many("INSERT DATA { <urn:s> <urn:p> 1 } ; "),
        ] {
            assert!(passes(&text), "{}", &text[..40]);
        }
    }

    #[test]
    fn truncated_texts_end_the_scan() {
        for text in ["\"", "'''", "'\\", "'\\u12", "<", "<urn", "#", "é", "\"\\\"", "}", "\\", ">>", "<<"] {
            assert!(passes(text), "{text}");
        }
    }
}

//! Checks of XML and JSON documents before their parsers read them: nesting depth, size after entities are replaced,
//! and completeness.
//!
//! The parsers accept a document that ends inside an element, replace any number of entities, and recurse or search
//! all open elements at each level. So the text is scanned before they read it.

use crate::error::{Error, Result};
use std::collections::HashMap;
use std::io::{self, Read};

/// The most elements, objects or lists that may be nested.
const MOST_OPEN: usize = 128;

/// The most bytes of a document type.
const MOST_TYPE: usize = 1 << 20;

/// The most bytes to which all entities together may expand: this many,
const MOST_EXPANDED: u64 = 1 << 20;
/// plus this many for each byte of the document.
const MOST_EXPANDED_PER_BYTE: u64 = 16;

/// The longest name of an entity that is looked up, in bytes.
const MOST_NAME: usize = 256;

/// A scan of a text in pieces.
pub(crate) trait Scan {
    fn byte(&mut self, byte: u8) -> Result<(), &'static str>;

    /// Whether the text may end here.
    fn end(&self) -> Result<(), &'static str>;

    /// How many elements, objects or lists are open.
    fn open(&self) -> usize;
}

/// A reader that fails where a scan rejects the text.
pub(crate) struct Scanned<'a, R, S> {
    reader: R,
    scan: S,
    /// The document's name in error messages.
    name: &'a str,
    line: u64,
}

impl<'a, R, S: Scan + Default> Scanned<'a, R, S> {
    pub(crate) fn new(reader: R, name: &'a str) -> Self {
        Self { reader, scan: S::default(), name, line: 1 }
    }

    fn error(&self, message: &str) -> io::Error {
        let (file, message) = (self.name.to_owned(), message.to_owned());
        io::Error::other(Error::Syntax { file, line: self.line, column: 1, message })
    }
}

impl<R: Read, S: Scan + Default> Read for Scanned<'_, R, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        for byte in &buffer[..read] {
            self.line += u64::from(*byte == b'\n');
            self.scan.byte(*byte).map_err(|message| self.error(message))?;
            if self.scan.open() > MOST_OPEN {
                return Err(io::Error::other(Error::TooDeep {
                    what: "elements, objects or lists inside each other",
                    most: MOST_OPEN,
                }));
            }
        }
        if read == 0 && !buffer.is_empty() {
            self.scan.end().map_err(|message| self.error(message))?;
        }
        Ok(read)
    }
}

/// The state of a scan of XML. The parser changes its state at the same positions.
#[derive(Default)]
enum InXml {
    #[default]
    Text,
    /// After a `<`.
    Less,
    /// In a start tag, with the open quote character, or 0 outside quotes, and whether the last byte was a slash.
    Start(u8, bool),
    End,
    /// After `<!`, with the bytes after it.
    Special(Vec<u8>),
    /// In a construct that ends with these bytes. The number is how many of them were read last.
    Until(&'static [u8], usize),
    /// In a document type, with the number of `<` that are not closed by a `>`.
    Type(Vec<u8>, usize),
}

/// XML.
#[derive(Default)]
pub(crate) struct Xml {
    place: InXml,
    open: usize,
    read: u64,
    /// The size to which each entity expands, and the total for all that were read.
    entities: HashMap<Vec<u8>, u64>,
    expanded: u64,
    /// The name of an entity, as far as it was read after the `&`.
    entity: Option<Vec<u8>>,
}

impl Xml {
    /// Counts a byte of text in which entities are replaced.
    fn replaced(&mut self, byte: u8) -> Result<(), &'static str> {
        if byte == b'&' {
            self.entity = Some(Vec::new());
        } else if let Some(name) = &mut self.entity {
            if byte == b';' {
                let length = self.entities.get(name).copied().unwrap_or_default();
                self.entity = None;
                self.expand(length)?;
            } else if name.len() < MOST_NAME {
                name.push(byte);
            }
        }
        Ok(())
    }

    fn expand(&mut self, length: u64) -> Result<(), &'static str> {
        self.expanded = self.expanded.saturating_add(length);
        if self.expanded > MOST_EXPANDED + MOST_EXPANDED_PER_BYTE * self.read {
            return Err("its entities expand to too much text");
        }
        Ok(())
    }

    /// Reads the entities that a document type declares.
    fn declare(&mut self, text: &[u8]) -> Result<(), &'static str> {
        for part in text.split(|byte| *byte == b'<') {
            let Some(part) = part.strip_prefix(b"!ENTITY") else { continue };
            let part = part.trim_ascii_start();
            let part = part.strip_prefix(b"%").unwrap_or(part).trim_ascii_start();
            let Some(end) = part.iter().position(u8::is_ascii_whitespace) else { continue };
            let (name, rest) = part.split_at(end);
            let rest = rest.trim_ascii_start();
            let Some((quote, rest)) = rest.split_first() else { continue };
            let value = rest.split(|byte| byte == quote).next().unwrap_or_default();
            let mut length = value.len() as u64;
            for reference in value.split(|byte| *byte == b'&').skip(1) {
                let name = reference.split(|byte| *byte == b';').next().unwrap_or_default();
                length = length.saturating_add(self.entities.get(name).copied().unwrap_or_default());
            }
            // The parser replaces entities in the value when it is declared.
            self.expand(length)?;
            self.entities.insert(name.to_owned(), length);
        }
        Ok(())
    }
}

impl Scan for Xml {
    fn byte(&mut self, byte: u8) -> Result<(), &'static str> {
        self.read += 1;
        let place = std::mem::take(&mut self.place);
        self.place = match place {
            InXml::Text if byte == b'<' => InXml::Less,
            InXml::Text => {
                self.replaced(byte)?;
                InXml::Text
            }
            InXml::Less => match byte {
                b'/' => InXml::End,
                b'!' => InXml::Special(Vec::new()),
                b'?' => InXml::Until(b"?>", 0),
                _ => {
                    self.open += 1;
                    InXml::Start(0, false)
                }
            },
            InXml::Start(0, slash) if byte == b'>' => {
                self.open -= usize::from(slash);
                InXml::Text
            }
            InXml::Start(0, _) => match byte {
                b'"' | b'\'' => InXml::Start(byte, false),
                _ => InXml::Start(0, byte == b'/'),
            },
            InXml::Start(quote, _) => {
                self.replaced(byte)?;
                InXml::Start(if byte == quote { 0 } else { quote }, false)
            }
            InXml::End if byte == b'>' => {
                self.open = self.open.saturating_sub(1);
                InXml::Text
            }
            InXml::End => InXml::End,
            InXml::Special(mut begun) => {
                begun.push(byte.to_ascii_uppercase());
                match &*begun {
                    b"--" => InXml::Until(b"-->", 0),
                    b"[CDATA[" => InXml::Until(b"]]>", 0),
                    b"DOCTYPE" => InXml::Type(Vec::new(), 0),
                    begun
                        if [&b"--"[..], b"[CDATA[", b"DOCTYPE"]
                            .iter()
                            .any(|known| known.starts_with(begun)) =>
                    {
                        InXml::Special(begun.to_vec())
                    }
                    _ => {
                        return Err(
                            "a construct that begins with <! is neither a comment nor a document type",
                        );
                    }
                }
            }
            InXml::Until(end, matched) => {
                let matched = match byte {
                    _ if byte == end[matched] => matched + 1,
                    // In `--->` and `]]]>`, the last three bytes are the end.
                    _ if matched == 2 && byte == end[1] => 2,
                    _ => usize::from(byte == end[0]),
                };
                if matched == end.len() { InXml::Text } else { InXml::Until(end, matched) }
            }
            InXml::Type(text, 0) if byte == b'>' => {
                self.declare(&text)?;
                InXml::Text
            }
            InXml::Type(mut text, open) => {
                if text.len() == MOST_TYPE {
                    return Err("its document type is too long");
                }
                text.push(byte);
                let open = open + usize::from(byte == b'<');
                InXml::Type(text, open - usize::from(byte == b'>'))
            }
        };
        Ok(())
    }

    fn end(&self) -> Result<(), &'static str> {
        match self.place {
            InXml::Text if self.open == 0 => Ok(()),
            InXml::Text => Err("the document ends inside an element"),
            _ => Err("the document ends inside a tag"),
        }
    }

    fn open(&self) -> usize {
        self.open
    }
}

/// JSON.
#[derive(Default)]
pub(crate) struct Json {
    open: usize,
    in_string: bool,
    escaped: bool,
}

impl Scan for Json {
    fn byte(&mut self, byte: u8) -> Result<(), &'static str> {
        match (self.in_string, byte) {
            (true, _) if self.escaped => self.escaped = false,
            (true, b'\\') => self.escaped = true,
            (true, b'"') => self.in_string = false,
            (false, b'"') => self.in_string = true,
            (false, b'[' | b'{') => self.open += 1,
            (false, b']' | b'}') => self.open = self.open.saturating_sub(1),
            _ => {}
        }
        Ok(())
    }

    fn end(&self) -> Result<(), &'static str> {
        // The parser reports this itself, with the position.
        Ok(())
    }

    fn open(&self) -> usize {
        self.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned<S: Scan + Default>(text: &str) -> Result<(), String> {
        // Reads byte by byte, so that a piece ends in every state.
        let mut reader = Scanned::<_, S>::new(text.as_bytes(), "doc");
        loop {
            match reader.read(&mut [0]) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    #[test]
    fn whole_documents_pass() {
        for text in [
            "",
            "<a/>",
            "<a b='>' c=\"/>\"><d/></a>",
            "<a><!-- <b> -- ---><![CDATA[ <c> ]] ]]]></a>",
            "<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b \"c\"> <!ELEMENT a (b)>]><a c='&b;'>&b;&amp;</a>\n",
            "<a><?b <c> ?></a>",
        ] {
            assert_eq!(scanned::<Xml>(text), Ok(()), "{text}");
        }
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert_eq!(scanned::<Xml>(&nested(MOST_OPEN)), Ok(()));
        assert!(scanned::<Xml>(&nested(MOST_OPEN + 1)).is_err());
        let flat = "[\"[[[\\\"[[\",{}],".repeat(MOST_OPEN);
        assert_eq!(scanned::<Json>(&format!("[{flat}]")), Ok(()));
        assert_eq!(scanned::<Json>(&"[".repeat(MOST_OPEN)), Ok(()));
        assert!(scanned::<Json>(&"{\"a\":[".repeat(MOST_OPEN)).is_err());
    }

    #[test]
    fn a_document_that_is_cut_short_is_an_error() {
        let whole = "<?xml version='1.0'?><!-- c --><a b='c'><d>e</d><![CDATA[f]]></a>";
        let (start, last) = (whole.find("<a").unwrap(), whole.len());
        for end in start + 1..last {
            let error = scanned::<Xml>(&whole[..end]).unwrap_err();
            assert!(error.contains("doc:1:1: the document ends inside"), "{}: {error}", &whole[..end]);
        }
    }

    #[test]
    fn entities_expand_up_to_a_limit() {
        let document =
            |declared: &str, used: &str| format!("<!DOCTYPE a [{declared}]><a b='{used}'>{used}</a>");
        let twice = |n| format!("<!ENTITY e{n} \"&e{0};&e{0};\">", n - 1);
        let double: String = (1..40).map(twice).collect();
        let long = format!("<!ENTITY e0 \"{}\">", "x".repeat(10_000));
        assert_eq!(scanned::<Xml>(&document(&long, &"&e0;".repeat(20))), Ok(()));
        for text in [
            document(&format!("{long}{double}"), ""),
            document(&format!("{long}{double}"), "&e9;"),
            document(&long, &"&e0;".repeat(100)),
            document(&long.replace('"', "'"), &"&e0;".repeat(100)),
        ] {
            let error = scanned::<Xml>(&text).unwrap_err();
            assert!(error.contains("entities"), "{error}");
        }
    }
}

//! Byte order marks, and texts that are not in UTF-8.

use std::io::{self, Chain, Cursor, Read};

/// The byte order marks: the bytes of the character U+FEFF, which at the start of a document say how the rest is
/// encoded.
const UTF_8: &[u8] = &[0xef, 0xbb, 0xbf];
const UTF_16_BIG: &[u8] = &[0xfe, 0xff];
const UTF_16_LITTLE: &[u8] = &[0xff, 0xfe];

/// A document in UTF-8, without a byte order mark.
pub(crate) enum Text<R> {
    Plain(Chain<Cursor<Vec<u8>>, R>),
    Utf16(Utf16<Chain<Cursor<Vec<u8>>, R>>),
}

impl<R: Read> Text<R> {
    /// Checks the first bytes. The document is UTF-16 if it begins with the byte order mark of UTF-16, or with a `<` in
    /// UTF-16, as an XML document without the mark does.
    pub(crate) fn new(mut reader: R) -> io::Result<Self> {
        let mut head = Vec::new();
        reader.by_ref().take(3).read_to_end(&mut head)?;
        let without = |length| Cursor::new(head.get(length..).unwrap_or_default().to_vec());
        let (mark, is_big) = match &*head {
            head if head.starts_with(UTF_16_BIG) => (2, true),
            head if head.starts_with(UTF_16_LITTLE) => (2, false),
            [0, b'<', ..] => (0, true),
            [b'<', 0, ..] => (0, false),
            head => {
                let mark = if head.starts_with(UTF_8) { UTF_8.len() } else { 0 };
                return Ok(Self::Plain(without(mark).chain(reader)));
            }
        };
        Ok(Self::Utf16(Utf16 { reader: without(mark).chain(reader), is_big, text: Cursor::default() }))
    }
}

impl<R: Read> Read for Text<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(reader) => reader.read(buffer),
            Self::Utf16(reader) => reader.read(buffer),
        }
    }
}

/// A reader that converts UTF-16 to UTF-8.
pub(crate) struct Utf16<R> {
    reader: R,
    is_big: bool,
    text: Cursor<Vec<u8>>,
}

/// The number of bytes of UTF-16 that are read at a time.
const PIECE: u64 = 8 << 10;

impl<R: Read> Utf16<R> {
    fn unit(&self, bytes: [u8; 2]) -> u16 {
        if self.is_big { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) }
    }

    /// Reads the next piece, which ends at the end of a character.
    fn fill(&mut self) -> io::Result<()> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the document is not valid UTF-16");
        let mut bytes = Vec::new();
        self.reader.by_ref().take(PIECE).read_to_end(&mut bytes)?;
        let last = bytes.as_chunks().0.last().map(|bytes| self.unit(*bytes));
        if last.is_some_and(|unit| (0xd800..0xdc00).contains(&unit)) {
            self.reader.by_ref().take(2).read_to_end(&mut bytes)?;
        }
        let (units, []) = bytes.as_chunks() else { return Err(invalid()) };
        let units = units.iter().map(|bytes| self.unit(*bytes));
        let text: Result<String, _> = char::decode_utf16(units).collect();
        self.text = Cursor::new(text.map_err(|_| invalid())?.into_bytes());
        Ok(())
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(buffer)?;
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        self.fill()?;
        self.text.read(buffer)
    }
}

/// An XML document in UTF-8 in the form that the parser accepts. The values of entities are in double quotes, although
/// single quotes are valid too (XML 1.0, 2.3), and the declaration does not name UTF-16.
pub(crate) fn readable_xml<R: Read>(mut reader: R) -> io::Result<Chain<Cursor<Vec<u8>>, R>> {
    let mut head = Vec::new();
    while !has_element(&head) {
        let read = reader.by_ref().take(PIECE).read_to_end(&mut head)?;
        if read == 0 || head.len() > MOST_BEFORE_ELEMENTS {
            break;
        }
    }
    declare_utf_8(&mut head);
    let mut at = 0;
    while let Some(found) = memchr::memmem::find(&head[at..], b"<!ENTITY") {
        at += found + b"<!ENTITY".len();
        let Some(open) = value(&head[at..]).map(|open| at + open) else { continue };
        let Some(length) = memchr::memchr(b'\'', &head[open + 1..]) else { break };
        let close = open + 1 + length;
        let quoted =
            head[open + 1..close].split(|byte| *byte == b'"').collect::<Vec<_>>().join(&b"&#34;"[..]);
        let quoted = [b"\"", &*quoted, b"\""].concat();
        at = open + quoted.len();
        head.splice(open..=close, quoted);
    }
    Ok(Cursor::new(head).chain(reader))
}

/// Changes a declaration of UTF-16 to UTF-8, because the text is converted. The declaration keeps its length, so
/// positions don't change.
fn declare_utf_8(head: &mut [u8]) {
    let end = memchr::memmem::find(head, b"?>").filter(|_| head.starts_with(b"<?xml")).unwrap_or(0);
    let declaration = head[..end].to_ascii_lowercase();
    for quote in ["\"", "'"] {
        let declared = format!("{quote}utf-16{quote}");
        if let Some(at) = memchr::memmem::find(&declaration, declared.as_bytes()) {
            head[at..at + declared.len()].copy_from_slice(format!("{quote}utf-8{quote} ").as_bytes());
        }
    }
}

/// The most bytes before the first element that are searched for entities.
const MOST_BEFORE_ELEMENTS: usize = 1 << 20;

/// Whether an element has begun.
fn has_element(text: &[u8]) -> bool {
    text.windows(2).any(|pair| pair[0] == b'<' && !matches!(pair[1], b'!' | b'?'))
}

/// The position of an entity's value, if the value is in single quotes. `text` follows `<!ENTITY`: white space, the
/// name, white space, the value.
fn value(text: &[u8]) -> Option<usize> {
    let space = |at: usize| at + text[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    let name = space(0);
    let after = name + text[name..].iter().position(u8::is_ascii_whitespace)?;
    let value = space(after);
    (text.get(value) == Some(&b'\'')).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> io::Result<String> {
        let mut text = String::new();
        Text::new(bytes)?.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn byte_order_marks_are_removed_and_utf_16_is_decoded() {
        for original in ["", "a", "ab", "<a>", "<é\u{1f600}>", &"<\u{1f600}é>".repeat(10_000)] {
            assert_eq!(text(original.as_bytes()).unwrap(), original);
            assert_eq!(text(format!("\u{feff}{original}").as_bytes()).unwrap(), original);
            for is_big in [true, false] {
                let bytes = |text: &str| -> Vec<u8> {
                    let bytes = |unit: u16| if is_big { unit.to_be_bytes() } else { unit.to_le_bytes() };
                    text.encode_utf16().flat_map(bytes).collect()
                };
                assert_eq!(text(&bytes(&format!("\u{feff}{original}"))).unwrap(), original);
                if original.starts_with('<') {
                    assert_eq!(text(&bytes(original)).unwrap(), original);
                }
            }
        }
    }

    #[test]
    fn invalid_utf_16_is_an_error() {
        for bytes in [&[0xfe, 0xff, 0][..], &[0xfe, 0xff, 0xd8, 0], &[0xfe, 0xff, 0xdc, 0, 0, b'a']] {
            assert_eq!(text(bytes).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn xml_is_rewritten_for_the_parser() {
        let filtered = |text: &str| {
            let mut out = String::new();
            readable_xml(text.as_bytes()).unwrap().read_to_string(&mut out).unwrap();
            out
        };
        for (text, expected) in [
            (
                "<!DOCTYPE a [<!ENTITY b 'c'>\n<!ENTITY  d\t\"e'f\" >]><a b='c'/>",
                "<!DOCTYPE a [<!ENTITY b \"c\">\n<!ENTITY  d\t\"e'f\" >]><a b='c'/>",
            ),
            (
                "<!DOCTYPE a [<!ENTITY b 'c\"d\"'><!ENTITY e ''>]><a/>",
                "<!DOCTYPE a [<!ENTITY b \"c&#34;d&#34;\"><!ENTITY e \"\">]><a/>",
            ),
        ] {
            assert_eq!(filtered(text), expected);
        }
        for text in [
            "",
            "<a/>",
            "<!ENTITY",
            "<!ENTITY ",
            "<!ENTITY a",
            "<!ENTITY a ",
            "<!ENTITY a '",
            "<!ENTITY a SYSTEM 'b'>",
        ] {
            assert_eq!(filtered(text), text);
        }
        let long =
            format!("<?xml version='1.0'?><!--{}--><!DOCTYPE a [<!ENTITY b 'c'>]><a/>", "x".repeat(100_000));
        assert_eq!(filtered(&long), long.replace("'c'", "\"c\""));
    }
}

//! How deep a query may be. Parser, optimizer and evaluator recurse over it, and a stack that overflows ends the
//! process: so what a stranger sends is looked at before it is parsed, by a scan that does not recurse.

use super::failure::Failure;

/// Brackets that may be open at once.
const NESTING: usize = 128;

/// What makes a tree deep without brackets: operators, and keywords that join what follows to what precedes. Each may
/// take a few KiB of stack at the most, so together with the nesting they fit well into [`STACK`].
const LINKS: usize = 4096;

/// The stack of threads that parse and evaluate. Memory is taken for what is used of it.
pub(super) const STACK: usize = 64 << 20;

const KEYWORDS: [&[u8]; 9] =
    [b"UNION", b"OPTIONAL", b"MINUS", b"BIND", b"FILTER", b"VALUES", b"GRAPH", b"SERVICE", b"AS"];

/// What blocks of data follow.
const DATA: [&[u8]; 2] = [b"DATA", b"VALUES"];

/// # Errors
///
/// 400 for a text that is nested more deeply than anybody writes it.
pub(super) fn check(text: &str) -> Result<(), Failure> {
    let (mut rest, mut open, mut links) = (text.as_bytes(), 0_usize, 0_usize);
    // In a block of data, which starts at this depth, nothing is linked: quads and rows stand one beside the other.
    let (mut data, mut data_follows, mut before) = (None, false, b' ');
    while let [byte, tail @ ..] = rest {
        let mut length = 1;
        match byte {
            // With the end of the line.
            b'#' => length = memchr::memchr2(b'\n', b'\r', rest).map_or(rest.len(), |end| end + 1),
            b'"' | b'\'' => length = string(rest),
            b'<' => length = iri(rest),
            b'{' | b'(' | b'[' => {
                open += 1;
                if *byte == b'{' {
                    links += 1;
                    data = data.or(data_follows.then_some(open));
                    data_follows = false;
                }
            }
            b'}' | b')' | b']' => {
                if data == Some(open) {
                    data = None;
                }
                open = open.saturating_sub(1);
            }
            // A datatype is no operator.
            b'^' if tail.first() == Some(&b'^') => length = 2,
            b'+' | b'-' | b'*' | b'/' | b'|' | b'&' | b'!' | b'^' if data.is_none() => links += 1,
            _ if is_word(*byte) => {
                length = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
                let word = &rest[..length];
                links += usize::from(KEYWORDS.iter().any(|keyword| word.eq_ignore_ascii_case(keyword)));
                // A word, and not the end of a name like `ex:some-data` or of a tag like `@values`.
                let stands_alone =
                    before.is_ascii_whitespace() || matches!(before, b'{' | b'}' | b')' | b';');
                data_follows |= stands_alone && DATA.iter().any(|keyword| word.eq_ignore_ascii_case(keyword));
            }
            _ => {}
        }
        before = rest[length - 1];
        if open > NESTING || links > LINKS {
            let message =
                format!("the request nests more than {NESTING} brackets or links more than {LINKS} parts");
            return Err(Failure::bad_request(message));
        }
        rest = &rest[length..];
    }
    Ok(())
}

/// Bytes of names, of variables and of prefixed names up to their hyphens.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b':' | b'?' | b'$' | b'.' | 0x80..)
}

/// The length of the string that starts here, long or short; up to the end if it has none.
fn string(text: &[u8]) -> usize {
    let quote = text[0];
    let long = text.starts_with(&[quote; 3]);
    let (start, end): (usize, &[u8]) = if long { (3, &[quote; 3]) } else { (1, &[quote]) };
    let mut at = start;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 2,
            _ if text[at..].starts_with(end) => return at + end.len(),
            _ => at += 1,
        }
    }
    text.len()
}

/// The length of the IRI that starts here, or 1 if this is the operator.
fn iri(text: &[u8]) -> usize {
    let outside =
        |byte: &u8| matches!(byte, b'<' | b'>' | b'"' | b'{' | b'}' | b'|' | b'^' | b'`' | b'\\' | 0..=b' ');
    match text[1..].iter().position(outside) {
        Some(at) if text[1 + at] == b'>' => at + 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passes(text: &str) -> bool {
        check(text).is_ok()
    }

    #[test]
    fn nesting_and_links_are_bounded_wherever_they_hide() {
        assert!(passes(&"{".repeat(NESTING)) && !passes(&"{".repeat(NESTING + 1)));
        assert!(passes(&"{}".repeat(LINKS)) && !passes(&"{}".repeat(LINKS + 1)));
        for part in [" UNION", " optional", "!", "/<urn:p>", " || ?a", " - 1", " As ?x", "-1"] {
            assert!(!passes(&part.repeat(LINKS + 1)), "{part}");
        }
        let after_data = format!("INSERT DATA {{ }} ; DELETE WHERE {{ {} }}", "!".repeat(LINKS));
        assert!(!passes(&after_data), "the block of data has ended");
        for name in ["?data", "ex:data", "ex:some-data", "\"\"@values", "_:data", "$values"] {
            assert!(!passes(&format!("{name} {{ {} }}", "!".repeat(LINKS))), "{name} opens no block");
        }
    }

    #[test]
    fn what_is_text_or_data_is_no_structure() {
        let many = |part: &str| part.repeat(LINKS + 1);
        for text in [
            format!("\"{}\"", many("{")),
            format!("'''{}'\\''''", many("{\"")),
            format!("<{}>", many("(-/")),
            format!("#{}\n", many("{")),
            many("1 < 2 > 3 "),
            many("\"1\"^^<urn:t> "),
            many("(1 2) "),
            many("?union ex:union "),
            format!("VALUES (?a ?b) {{ {} }}", many("(-1 +1) ")),
            format!("INSERT # {{\n data {{ GRAPH <urn:g> {{ {} }} }}", many("<urn:s> <urn:p> -1 . ")),
        ] {
            assert!(passes(&text), "{}", &text[..40]);
        }
    }

    #[test]
    fn texts_that_break_off_end_the_scan() {
        for text in ["\"", "'''", "'\\", "<", "<urn", "#", "é", "\"\\\"", "}"] {
            assert!(passes(text), "{text}");
        }
    }
}

//! Splits a request into words, roughly as the grammar does. Invalid text is split too.

/// A word, with the line and column of its first character, counted from 1, and the number of characters before its
/// end.
#[derive(Debug)]
pub(super) struct Word<'t> {
    pub(super) text: &'t str,
    /// The number of bytes before it.
    pub(super) at: usize,
    pub(super) line: u64,
    pub(super) column: u64,
    pub(super) end: usize,
}

impl Word<'_> {
    /// Whether it is a string that is not closed.
    pub(super) fn is_unfinished(&self) -> bool {
        let Some(quote) = quote(self.text) else { return false };
        let rest = &self.text[quote.len()..];
        !rest.ends_with(quote) || string_length(self.text, quote) > self.text.len()
    }

    /// The prefix, if it is a prefixed name.
    pub(super) fn prefix(&self) -> Option<&str> {
        let (prefix, _) = self.text.split_once(':')?;
        let is_name = prefix.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.'));
        (is_name && prefix != "_").then_some(prefix)
    }

    /// The name, if it is a variable.
    pub(super) fn variable(&self) -> Option<&str> {
        self.text.strip_prefix(['?', '$']).filter(|name| !name.is_empty())
    }

    /// Whether it is one of these keywords, in any case.
    pub(super) fn is_one_of(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.text.eq_ignore_ascii_case(keyword))
    }

    pub(super) fn is_relative_iri(&self) -> bool {
        let iri = self.text.strip_prefix('<').and_then(|iri| iri.strip_suffix('>'));
        iri.is_some_and(|iri| oxrdf::NamedNode::new(iri).is_err())
    }

    /// Whether it can be a term of a triple.
    pub(super) fn is_term(&self) -> bool {
        let first = self.text.chars().next();
        self.text == "a"
            || self.text.len() > 1 && first.is_some_and(|c| matches!(c, '?' | '$' | '<' | '"' | '\''))
            || first.is_some_and(|c| c.is_ascii_digit())
            || self.text.starts_with("_:")
            || self.prefix().is_some()
    }
}

/// The quotes that a text begins with.
fn quote(text: &str) -> Option<&'static str> {
    ["\"\"\"", "'''", "\"", "'"].into_iter().find(|quote| text.starts_with(quote))
}

/// The number of bytes of the string at the beginning of a text. It is more than the text has if the string is not
/// closed.
fn string_length(text: &str, quote: &str) -> usize {
    let mut at = quote.len();
    while let Some(next) = text[at..].chars().next() {
        if text[at..].starts_with(quote) {
            return at + quote.len();
        }
        let escaped = if next == '\\' { text[at + 1..].chars().next().map_or(0, char::len_utf8) } else { 0 };
        at += next.len_utf8() + escaped;
    }
    text.len() + 1
}

/// The number of bytes of the IRI at the beginning of a text.
fn iri_length(text: &str) -> Option<usize> {
    let outside = |char| matches!(char, '<' | '>' | '"' | '{' | '}' | '|' | '^' | '`' | '\\' | '\0'..=' ');
    let end = 1 + text[1..].find(outside)?;
    text[end..].starts_with('>').then_some(end + 1)
}

/// The number of bytes of the word at the beginning of a text.
fn length(text: &str) -> usize {
    let span = |fits: &dyn Fn(char) -> bool| text.find(|c| !fits(c)).unwrap_or(text.len());
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | ':' | '%' | '\\');
    let Some(first) = text.chars().next() else { return 0 };
    if let Some(quote) = quote(text) {
        return string_length(text, quote).min(text.len());
    }
    match first {
        '<' => iri_length(text).unwrap_or(1),
        '?' | '$' => 1 + text[1..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len() - 1),
        '@' => 1 + text[1..].find(|c: char| !is_name(c)).unwrap_or(text.len() - 1),
        c if is_name(c) => {
            // A dot is a part of a name or number, unless it is the last character.
            let name = span(&|c| is_name(c) || c == '.');
            text[..name].trim_end_matches('.').len().max(1)
        }
        c => c.len_utf8(),
    }
}

/// The words of a text, without white space and comments. Where the parser may split the text in another way, no
/// mistakes are reported.
pub(super) fn words(text: &str) -> impl Iterator<Item = Word<'_>> {
    let (mut at, mut end, mut line, mut column) = (0, 0, 1, 1);
    std::iter::from_fn(move || {
        loop {
            let rest = &text[at..];
            let first = rest.chars().next()?;
            let length = match first {
                c if c.is_whitespace() => c.len_utf8(),
                '#' => rest.find(['\n', '\r']).unwrap_or(rest.len()),
                _ => length(rest),
            };
            let word = Word { text: &rest[..length], at, line, column, end: 0 };
            for c in word.text.chars() {
                (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
                end += 1;
            }
            at += length;
            if !first.is_whitespace() && first != '#' {
                return Some(Word { end, ..word });
            }
        }
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_text_is_split_into_words() {
        let text = "SELECT ?x{<urn:a> a:b 'it\\'s'@en-GB,1.5 .# so\n\"\"\"a\"b\n\"\"\" ?y<3. }";
        let words: Vec<_> = super::words(text).map(|word| (word.text, word.line, word.column)).collect();
        let expected = [
            ("SELECT", 1, 1),
            ("?x", 1, 8),
            ("{", 1, 10),
            ("<urn:a>", 1, 11),
            ("a:b", 1, 19),
            ("'it\\'s'", 1, 23),
            ("@en-GB", 1, 30),
            (",", 1, 36),
            ("1.5", 1, 37),
            (".", 1, 41),
            ("\"\"\"a\"b\n\"\"\"", 2, 1),
            ("?y", 3, 5),
            ("<", 3, 7),
            ("3", 3, 8),
            (".", 3, 9),
            ("}", 3, 11),
        ];
        assert_eq!(words, expected);
    }
}

//! Commands on single keys and their values.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

use serde_json::json;
use vde_store::{ReadView, UserMetadata, Vde};

use crate::files::write_whole;
use crate::{Failure, at, bytes, print, seconds, stdout, table};

pub(crate) fn put(store: &Path, key: &[u8], file: &Path, meta: &UserMetadata) -> Result<(), Failure> {
    if ["-", "@-"].iter().any(|name| file == Path::new(name)) {
        Vde::open(store)?.put_with(key, io::stdin().lock(), meta)?;
        return Ok(());
    }
    // The file is opened first, because a mistyped file name must not create an empty store.
    let source = File::open(file).map_err(at(file))?;
    let bar = bytes(source.metadata().ok().map(|metadata| metadata.len()));
    let stored = Vde::open(store)?.put_with(key, bar.wrap_read(source), meta);
    bar.finish_and_clear();
    stored?;
    Ok(())
}

pub(crate) fn get(view: &ReadView, key: &[u8], output: Option<&Path>) -> Result<(), Failure> {
    let mut reader = view.reader(key)?.ok_or_else(|| Failure::missing(key))?;
    let Some(path) = output else {
        return io::copy(&mut reader, &mut io::stdout().lock()).map(drop).map_err(stdout);
    };
    let bar = bytes(Some(reader.len()));
    let written = write_whole(path, bar.wrap_read(reader));
    bar.finish_and_clear();
    written
}

pub(crate) fn rm(store: &Vde, key: &[u8]) -> Result<(), Failure> {
    if store.delete(key)? { Ok(()) } else { Err(Failure::missing(key)) }
}

pub(crate) fn ls(view: &ReadView, prefix: &[u8], end: &[u8], as_json: bool) -> Result<(), Failure> {
    let is_terminal = io::stdout().is_terminal();
    let mut out = io::BufWriter::new(io::stdout().lock());
    for entry in view.list(prefix) {
        let entry = entry?;
        if as_json {
            let mut value = json!({ "len": entry.len() });
            // A key that is text is shown as it is. Other keys are escaped and have another field name, so that the
            // two are not confused.
            match std::str::from_utf8(entry.key()) {
                Ok(key) => value["key"] = key.into(),
                Err(_) => value["escaped_key"] = entry.key().escape_ascii().to_string().into(),
            }
            writeln!(out, "{value}")
        } else if is_terminal {
            out.write_all(shown(entry.key()).as_bytes()).and_then(|()| out.write_all(end))
        } else {
            out.write_all(entry.key()).and_then(|()| out.write_all(end))
        }
        .map_err(stdout)?;
    }
    out.flush().map_err(stdout)
}

/// A key for a terminal: control characters, and bytes that are not text, are escaped.
pub(crate) fn shown(key: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(key) else { return key.escape_ascii().to_string() };
    let mut shown = String::new();
    for char in text.chars() {
        if char.is_control() { shown.extend(char.escape_default()) } else { shown.push(char) }
    }
    shown
}

pub(crate) fn stat(view: &ReadView, key: &[u8], as_json: bool) -> Result<(), Failure> {
    let metadata = view.metadata(key)?.ok_or_else(|| Failure::missing(key))?;
    let value = json!({
        "len": metadata.len,
        "created": seconds(metadata.created),
        "modified": seconds(metadata.modified),
        "version": metadata.version,
        "checksum": format!("{:016x}", metadata.checksum),
        "user": metadata.user,
    });
    print(as_json, &value, &table(&value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped_for_a_terminal() {
        assert_eq!(shown("häuser/7".as_bytes()), "häuser/7");
        assert_eq!(shown(b"a\x1b[2Jb\n\x7f"), "a\\u{1b}[2Jb\\n\\u{7f}");
        assert_eq!(shown("\u{9b}2J".as_bytes()), "\\u{9b}2J");
        assert_eq!(shown(b"\xff\x1b"), "\\xff\\x1b");
    }
}

//! Single keys and their values.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use serde_json::json;
use vde_store::{ReadView, UserMetadata, Vde};

use crate::files::write_whole;
use crate::{Failure, at, bytes, seconds, stdout, table, tell};

pub(crate) fn put(store: &Path, key: &[u8], file: &Path, meta: &UserMetadata) -> Result<(), Failure> {
    if file == Path::new("-") {
        return Ok(Vde::open(store)?.put_with(key, io::stdin().lock(), meta)?);
    }
    // First of all: a mistyped name must not leave an empty store behind.
    let source = File::open(file).map_err(at(file))?;
    let bar = bytes(source.metadata().ok().map(|metadata| metadata.len()));
    let stored = Vde::open(store)?.put_with(key, bar.wrap_read(source), meta);
    bar.finish_and_clear();
    Ok(stored?)
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
    let mut out = io::BufWriter::new(io::stdout().lock());
    for entry in view.list(prefix) {
        let entry = entry?;
        if as_json {
            let mut value = json!({ "len": entry.len() });
            // Text as it is; other bytes escaped, under another name, so that nobody takes one for the other.
            match std::str::from_utf8(entry.key()) {
                Ok(key) => value["key"] = key.into(),
                Err(_) => value["escaped_key"] = entry.key().escape_ascii().to_string().into(),
            }
            writeln!(out, "{value}")
        } else {
            out.write_all(entry.key()).and_then(|()| out.write_all(end))
        }
        .map_err(stdout)?;
    }
    out.flush().map_err(stdout)
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
    tell(as_json, &value, &table(&value))
}

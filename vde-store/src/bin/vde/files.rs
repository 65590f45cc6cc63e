//! Directories in and out.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::json;
use vde_store::{Durability, ReadView, UserMetadata, Vde};

use crate::{Failure, at, counting, tell};

/// Every regular file below `dir`, and what links to one; links to directories are not followed, since they may lead round
/// in circles.
fn find(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), Failure> {
    for entry in fs::read_dir(dir).map_err(at(dir))? {
        let entry = entry.map_err(at(dir))?;
        let path = entry.path();
        if entry.file_type().map_err(at(&path))?.is_dir() {
            find(&path, found)?;
        } else if fs::metadata(&path).map_err(at(&path))?.is_file() {
            found.push(path);
        }
    }
    Ok(())
}

pub(crate) fn import(path: &Path, dir: &Path, as_json: bool) -> Result<(), Failure> {
    let mut found = Vec::new();
    find(dir, &mut found)?;
    found.sort_unstable();
    let store = Vde::open(path)?.with_durability(Durability::Buffered);
    // The container itself may lie there.
    let container = path.canonicalize().map_err(at(path))?;
    found.retain(|file| file.canonicalize().ok().is_none_or(|file| file != container));
    let bar = counting(found.len() as u64);
    for file in &found {
        let key = file.strip_prefix(dir).unwrap_or(file).as_os_str().as_bytes();
        store.put_with(key, File::open(file).map_err(at(file))?, &UserMetadata::new())?;
        bar.inc(1);
    }
    store.flush()?;
    bar.finish_and_clear();
    tell(as_json, &json!({ "keys": found.len() }), &format!("{} files imported", found.len()))
}

/// Where a key's value goes below `dir`; keys that would lead out of it are refused.
fn target(dir: &Path, key: &[u8]) -> Result<PathBuf, Failure> {
    let relative = Path::new(OsStr::from_bytes(key));
    if relative.components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(dir.join(relative));
    }
    let reason = io::Error::new(io::ErrorKind::InvalidInput, "the key is no path below the directory");
    Err(Failure::Io(key.escape_ascii().to_string(), reason))
}

pub(crate) fn export(view: &ReadView, dir: &Path, as_json: bool) -> Result<(), Failure> {
    let bar = ProgressBar::new_spinner();
    let mut keys = 0u64;
    for entry in view.list("") {
        let entry = entry?;
        let path = target(dir, entry.key())?;
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(at(parent))?;
        }
        let mut file = File::create(&path).map_err(at(&path))?;
        io::copy(&mut entry.reader()?, &mut file).map_err(at(&path))?;
        keys += 1;
        bar.inc(1);
    }
    bar.finish_and_clear();
    tell(as_json, &json!({ "keys": keys }), &format!("{keys} keys exported"))
}

//! Import of files from a directory, and export to one.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use indicatif::ProgressBar;
use serde_json::json;
use vde_store::{Durability, Entry, Error, ReadView, UserMetadata, Vde};

use crate::{Failure, at, counting, print};

/// Every regular file below `dir`, and every link to one. Links to directories are not followed, because they may
/// form a cycle.
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
    // The container itself may be in the directory.
    let container = path.canonicalize().map_err(at(path))?;
    found.retain(|file| file.canonicalize().ok().is_none_or(|file| file != container));
    let bar = counting(found.len() as u64);
    for file in &found {
        let key = file.strip_prefix(dir).unwrap_or(file).as_os_str().as_encoded_bytes();
        store.put_with(key, File::open(file).map_err(at(file))?, &UserMetadata::new())?;
        bar.inc(1);
    }
    store.flush()?;
    bar.finish_and_clear();
    print(as_json, &json!({ "keys": found.len() }), &format!("{} files imported", found.len()))
}

#[cfg(unix)]
#[allow(clippy::unnecessary_wraps, reason = "on other systems, names are not bytes")]
fn name(key: &[u8]) -> Option<&OsStr> {
    Some(std::os::unix::ffi::OsStrExt::from_bytes(key))
}

#[cfg(not(unix))]
fn name(key: &[u8]) -> Option<&OsStr> {
    std::str::from_utf8(key).ok().map(OsStr::new)
}

/// The file below `dir` for the value of a key. A key that would lead out of `dir` is an error.
fn target(dir: &Path, key: &[u8]) -> Result<PathBuf, Failure> {
    if let Some(relative) = name(key)
        .filter(|relative| Path::new(relative).components().all(|part| matches!(part, Component::Normal(_))))
    {
        return Ok(dir.join(relative));
    }
    let reason = io::Error::new(io::ErrorKind::InvalidInput, "the key is not a path below the directory");
    Err(Failure::Io(key.escape_ascii().to_string(), reason))
}

/// A file that is being written has a name that ends with the process id and this suffix.
const SUFFIX: &str = ".partial";

/// Removes the unfinished files for `target` that killed processes left: files with a temporary name that are not
/// locked.
fn remove_leftovers(target: &Path) {
    let parent = target.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let (Some(name), Ok(files)) = (target.file_name(), fs::read_dir(parent)) else { return };
    for file in files.flatten() {
        let file_name = file.file_name();
        let rest = file_name.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let number = rest.and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(SUFFIX.as_bytes()));
        let is_ours =
            number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit));
        if is_ours && File::open(file.path()).is_ok_and(|file| file.try_lock().is_ok()) {
            let _ = fs::remove_file(file.path());
        }
    }
}

/// Writes a file that appears at `path` once it is whole. If `path` is a terminal or a pipe, this writes to it
/// directly.
pub(crate) fn write_whole(path: &Path, mut from: impl Read) -> Result<(), Failure> {
    let there = fs::metadata(path).ok();
    if there.as_ref().is_some_and(|there| !there.is_file()) {
        let mut file = File::create(path).map_err(at(path))?;
        return io::copy(&mut from, &mut file).map(drop).map_err(at(path));
    }
    // A link stays a link: its target is replaced.
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    remove_leftovers(&target);
    let mut partial = target.clone().into_os_string();
    partial.push(format!(".{}{SUFFIX}", std::process::id()));
    let partial = PathBuf::from(partial);
    let mut write = || {
        let mut file = File::create_new(&partial)?;
        // The lock shows other processes that the file is in use. On a file system without locks, files that killed
        // processes left are not removed.
        let _ = file.try_lock();
        if let Some(there) = &there {
            file.set_permissions(there.permissions())?;
        }
        let copied = io::copy(&mut from, &mut file).and_then(|_| fs::rename(&partial, &target));
        if copied.is_err() {
            let _ = fs::remove_file(&partial);
        }
        copied
    };
    write().map_err(at(path))
}

/// Writes every value to a file. With `salvage`, it skips damaged values and reports each.
pub(crate) fn export(view: &ReadView, dir: &Path, salvage: bool, as_json: bool) -> Result<(), Failure> {
    let bar = ProgressBar::new_spinner();
    let (mut keys, mut left_out) = (0u64, 0u64);
    for entry in view.list("") {
        let written =
            entry.map_err(|error| ("a page of the index".to_owned(), error.into())).and_then(|entry| {
                export_entry(&entry, dir).map_err(|error| (entry.key().escape_ascii().to_string(), error))
            });
        match written {
            Ok(()) => keys += 1,
            Err((what, Failure::Store(error @ Error::Corrupt { .. }))) if salvage => {
                left_out += 1;
                bar.suspend(|| eprintln!("vde: left out {what}: {error}"));
            }
            Err((_, failure)) => return Err(failure),
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let text = match left_out {
        0 => format!("{keys} keys exported"),
        _ => format!("{keys} keys exported, {left_out} left out"),
    };
    print(as_json, &json!({ "keys": keys, "left_out": left_out }), &text)
}

fn export_entry(entry: &Entry, dir: &Path) -> Result<(), Failure> {
    let path = target(dir, entry.key())?;
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(at(parent))?;
    }
    write_whole(&path, entry.reader()?)
}

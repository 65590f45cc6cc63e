//! Calling the command `vde-ship`, which another crate provides: it lies beside this command, or in a folder of `PATH`.

use std::env;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Failure;

const NAME: &str = "vde-ship";

/// The command beside this one, if it is there; otherwise its name, which is looked up in `PATH`.
fn program() -> PathBuf {
    let beside = env::current_exe()
        .ok()
        .map(|own| own.with_file_name(NAME).with_extension(env::consts::EXE_EXTENSION));
    beside.filter(|program| program.is_file()).unwrap_or_else(|| NAME.into())
}

/// Whether this is the place of a shipped store, and no file.
pub(crate) fn is_url(place: &Path) -> bool {
    place.to_str().is_some_and(|place| place.contains("://"))
}

/// Runs `vde-ship` with these arguments.
pub(crate) fn run(command: &str, arguments: &[OsString]) -> Result<(), Failure> {
    match Command::new(program()).arg(command).args(arguments).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(Failure::Code(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let hint = "there is no such command; `cargo install vde-ship` installs it";
            Err(Failure::Io(NAME.into(), io::Error::new(error.kind(), hint)))
        }
        Err(error) => Err(Failure::Io(NAME.into(), error)),
    }
}

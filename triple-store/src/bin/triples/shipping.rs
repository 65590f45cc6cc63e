//! Calling the command `triples-ship`, which another crate provides: it lies beside this command, or in a folder of `PATH`.

use crate::commands::io_error;
use std::env;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;
use triple_store::Result;

const NAME: &str = "triples-ship";

/// The command beside this one, if it is there; otherwise its name, which is looked up in `PATH`.
fn program() -> PathBuf {
    let beside = env::current_exe()
        .ok()
        .map(|own| own.with_file_name(NAME).with_extension(env::consts::EXE_EXTENSION));
    beside.filter(|program| program.is_file()).unwrap_or_else(|| NAME.into())
}

/// Runs `triples-ship` with the arguments of this process, in its place.
pub(crate) fn run() -> Result<()> {
    let mut command = Command::new(program());
    command.args(env::args_os().skip(1).filter(|argument| argument != "--json"));
    #[cfg(unix)]
    let error = std::os::unix::process::CommandExt::exec(&mut command);
    #[cfg(not(unix))]
    let error = match command.status() {
        Ok(status) => std::process::exit(status.code().unwrap_or(1)),
        Err(error) => error,
    };
    let error = if error.kind() == ErrorKind::NotFound {
        let hint = "there is no such command; `cargo install vde-ship --features triples` installs it";
        io::Error::new(error.kind(), hint)
    } else {
        error
    };
    Err(io_error(Path::new(NAME), error))
}

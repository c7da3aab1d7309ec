//! The one place of this crate that starts processes: always Longshore's own binary, with one of two subcommands.
//!
//! They outlive their caller, so they inherit little of it: the working directory is `/`, and of the environment only
//! what is named here is left.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::Dirs;
use crate::hold::Stage;

/// What the environment keeps, besides everything that starts with `LONGSHORE_`.
const ENVIRONMENT: [&str; 4] = ["PATH", "TZ", "RUST_BACKTRACE", "RUST_LOG"];

/// Starts `exe hold` at a stage. `stdin` is its connection to the caller.
pub(crate) fn hold(
    exe: &Path,
    dirs: &Dirs,
    stage: Stage,
    stdin: impl Into<OwnedFd>,
    log: File,
) -> io::Result<Child> {
    let mut command = base(exe, "hold", dirs);
    command.args(["--stage", stage.name()]);
    start(command, stdin.into(), log)
}

/// Starts `exe dataplane`, whose standard input is its connection to `hold`.
pub(crate) fn dataplane(exe: &Path, dirs: &Dirs, stdin: OwnedFd, log: File) -> io::Result<Child> {
    start(base(exe, "dataplane", dirs), stdin, log)
}

fn base(exe: &Path, subcommand: &str, dirs: &Dirs) -> Command {
    let mut command = Command::new(exe);
    command
        .arg(subcommand)
        .arg("--run-dir")
        .arg(&dirs.run_dir)
        .arg("--state-dir")
        .arg(&dirs.state_dir)
        .current_dir("/")
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| may_keep(name)));
    command
}

fn may_keep(name: &OsStr) -> bool {
    ENVIRONMENT.iter().any(|kept| name == *kept) || name.as_encoded_bytes().starts_with(b"LONGSHORE_")
}

fn start(mut command: Command, stdin: OwnedFd, log: File) -> io::Result<Child> {
    let stderr = log.try_clone()?;
    command.stdin(stdin).stdout(log).stderr(Stdio::from(stderr)).spawn()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_of_the_environment_is_inherited() {
        assert!(may_keep(OsStr::new("PATH")) && may_keep(OsStr::new("LONGSHORE_RUN_DIR")));
        assert!(!may_keep(OsStr::new("AWS_SECRET_ACCESS_KEY")) && !may_keep(OsStr::new("LD_PRELOAD")));
    }
}

//! The one place of this crate that starts processes: always Longshore's own binary, with one of two subcommands.
//!
//! Those that outlive their caller inherit little of it: the working directory is `/`, and of the environment only
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

/// Starts `exe hold` for a client; it ends soon, and works where the client does.
pub(crate) fn launcher(exe: &Path, dirs: &Dirs, log: File) -> io::Result<Child> {
    let stderr = log.try_clone()?;
    Command::new(exe)
        .arg("hold")
        .arg("--run-dir")
        .arg(&dirs.run_dir)
        .arg("--state-dir")
        .arg(&dirs.state_dir)
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(stderr)
        .spawn()
}

/// Starts `exe hold` at a stage. `stdin` is its connection to the caller.
pub(crate) fn hold(
    exe: &Path,
    dirs: &Dirs,
    stage: Stage,
    stdin: impl Into<OwnedFd>,
    log: File,
) -> io::Result<Child> {
    start(exe, dirs, &["hold", "--stage", stage.name()], stdin.into(), &log)
}

/// Starts `exe dataplane`, whose standard input is its connection to `hold`.
pub(crate) fn dataplane(exe: &Path, dirs: &Dirs, stdin: OwnedFd, log: File) -> io::Result<Child> {
    start(exe, dirs, &["dataplane"], stdin, &log)
}

/// When the binary was deleted (an upgrade under way), the one that this process runs is started again.
fn start(exe: &Path, dirs: &Dirs, subcommand: &[&str], stdin: OwnedFd, log: &File) -> io::Result<Child> {
    let own = Path::new("/proc/self/exe");
    let spare = stdin.try_clone()?;
    match try_start(exe, dirs, subcommand, stdin, log) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            try_start(own, dirs, subcommand, spare, log).map_err(|_| error)
        }
        other => other,
    }
}

fn try_start(exe: &Path, dirs: &Dirs, subcommand: &[&str], stdin: OwnedFd, log: &File) -> io::Result<Child> {
    let (stdout, stderr) = (log.try_clone()?, log.try_clone()?);
    Command::new(exe)
        .args(subcommand)
        .arg("--run-dir")
        .arg(&dirs.run_dir)
        .arg("--state-dir")
        .arg(&dirs.state_dir)
        .current_dir("/")
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| may_keep(name)))
        .stdin(stdin)
        .stdout(stdout)
        .stderr(stderr)
        .spawn()
}

fn may_keep(name: &OsStr) -> bool {
    ENVIRONMENT.iter().any(|kept| name == *kept) || name.as_encoded_bytes().starts_with(b"LONGSHORE_")
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

//! CHAP on the command line: secrets from a file, a descriptor or a Kubernetes Secret; never from argv.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use longshore_volume::Chap;
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::exit::{CliError, ExitCode};
use crate::manifest;

/// The longest secret; RFC 7143 §12.1.4 asks for at least 16 bytes to be possible, no array takes this many.
const MAX_SECRET_BYTES: u64 = 1024;

/// The options of every command that logs in.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "CHAP (secrets are never given on the command line itself)")]
pub(crate) struct ChapOptions {
    /// The name that we prove (also: USER@ in the URL)
    #[arg(long, value_name = "NAME")]
    pub(crate) chap_user: Option<String>,
    /// A file with our secret; one line break at its end is not part of it
    #[arg(long, value_name = "FILE", conflicts_with = "chap_secret_fd")]
    pub(crate) chap_secret_file: Option<PathBuf>,
    /// An open descriptor from which our secret is read
    #[arg(long, value_name = "N")]
    pub(crate) chap_secret_fd: Option<u32>,
    /// Mutual CHAP: the name that the target must prove
    #[arg(long, value_name = "NAME")]
    pub(crate) chap_user_in: Option<String>,
    /// Mutual CHAP: a file with the target's secret
    #[arg(long, value_name = "FILE", conflicts_with = "chap_secret_in_fd")]
    pub(crate) chap_secret_in_file: Option<PathBuf>,
    /// Mutual CHAP: an open descriptor from which the target's secret is read
    #[arg(long, value_name = "N")]
    pub(crate) chap_secret_in_fd: Option<u32>,
    /// A Kubernetes Secret manifest with node.session.auth.username, .password, .username_in, .password_in
    #[arg(long, value_name = "FILE", conflicts_with_all = [
        "chap_user", "chap_secret_file", "chap_secret_fd", "chap_user_in", "chap_secret_in_file", "chap_secret_in_fd",
    ])]
    pub(crate) secrets: Option<PathBuf>,
}

/// What a Secret is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// `node.session.auth.*`.
    Session,
    /// `discovery.sendtargets.auth.*`.
    Discovery,
}

impl ChapOptions {
    /// Reads the secrets. `user` is the user of the URL. Warnings go to `warn`.
    ///
    /// # Errors
    /// Options that contradict or lack each other; a file that cannot be read.
    pub(crate) fn read(
        &self,
        user: Option<&str>,
        purpose: Purpose,
        warn: &mut dyn FnMut(&str),
    ) -> Result<Option<Chap>, CliError> {
        if let Some(file) = &self.secrets {
            warn_if_open(file, warn);
            let loaded = match purpose {
                Purpose::Session => manifest::load_chap(file),
                Purpose::Discovery => manifest::load_discovery_chap(file),
            };
            let (pairs, warnings) = loaded.map_err(CliError::manifest)?;
            warnings.iter().for_each(|problem| warn(&problem.to_string()));
            if user.is_some_and(|user| user != pairs.ours.user) {
                return Err(usage("the user of the URL is not the one of the Secret"));
            }
            return Ok(Some(pairs.into_chap()));
        }
        let user = match (user, self.chap_user.as_deref()) {
            (Some(of_url), Some(option)) if of_url != option => {
                return Err(usage("the user of the URL is not the one of --chap-user"));
            }
            (of_url, option) => of_url.or(option),
        };
        let secret = read_secret(self.chap_secret_file.as_deref(), self.chap_secret_fd, warn)?;
        let secret_in = read_secret(self.chap_secret_in_file.as_deref(), self.chap_secret_in_fd, warn)?;
        let mutual = match (&self.chap_user_in, secret_in) {
            (Some(user), Some(secret)) => Some((user.clone(), secret)),
            (None, None) => None,
            (Some(_), None) => return Err(usage("--chap-user-in needs --chap-secret-in-file")),
            (None, Some(_)) => return Err(usage("the target's secret needs --chap-user-in")),
        };
        match (user, secret) {
            (Some(user), Some(secret)) => Ok(Some(Chap {
                username: user.to_owned(),
                password: secret,
                mutual,
            })),
            (Some(user), None) => Err(usage(format!("the CHAP user {user:?} has no secret"))
                .help("give it by --chap-secret-file FILE, --chap-secret-fd N or --secrets FILE")),
            (None, Some(_)) => {
                Err(usage("a CHAP secret without a user").help("write iscsi://USER@… or --chap-user NAME"))
            }
            (None, None) if mutual.is_some() => {
                Err(usage("mutual CHAP needs our own name and secret too")
                    .help("add --chap-user and its secret"))
            }
            (None, None) => Ok(None),
        }
    }
}

fn usage(message: impl Into<String>) -> CliError {
    CliError::new(ExitCode::Usage, message)
}

/// Reads one secret from where the options say, if they say.
///
/// # Errors
/// It cannot be read, is empty, too long or no text.
pub(crate) fn read_secret(
    file: Option<&Path>,
    descriptor: Option<u32>,
    warn: &mut dyn FnMut(&str),
) -> Result<Option<SecretString>, CliError> {
    match (file, descriptor) {
        (Some(file), _) => {
            warn_if_open(file, warn);
            read_file(file).map(Some)
        }
        // Through /proc, so that no descriptor is made out of a bare number.
        (None, Some(number)) => read_file(Path::new(&format!("/proc/self/fd/{number}"))).map(Some),
        (None, None) => Ok(None),
    }
}

fn read_file(path: &Path) -> Result<SecretString, CliError> {
    // A secret in memory must not end in a core dump. Where that is not allowed, nothing else is lost by it.
    let _ = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_SECRET_BYTES as usize + 2));
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET_BYTES + 2).read_to_end(&mut bytes))
        .map_err(|error| CliError::io("read the CHAP secret from", path, &error))?;
    let wrong = |what: &str| usage(format!("the CHAP secret in {} {what}", path.display()));
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("is not UTF-8 text"))?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(wrong("is empty"));
    }
    if text.len() as u64 > MAX_SECRET_BYTES {
        return Err(wrong(&format!("is longer than {MAX_SECRET_BYTES} bytes")));
    }
    Ok(SecretString::from(text))
}

/// Warns when others may read a file with secrets.
pub(crate) fn warn_if_open(path: &Path, warn: &mut dyn FnMut(&str)) {
    use std::os::unix::fs::PermissionsExt;
    let Ok(metadata) = std::fs::metadata(path) else {
        return;
    };
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        warn(&format!(
            "{} holds secrets and others may read it (mode {mode:04o}); chmod 600 it",
            path.display()
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::os::unix::fs::PermissionsExt;

    fn file(dir: &Path, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = dir.join(name);
        std::fs::write(&path, content).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("mode");
        path
    }

    fn read(options: &ChapOptions, user: Option<&str>) -> (Result<Option<Chap>, CliError>, Vec<String>) {
        let mut warnings = Vec::new();
        let outcome = options.read(user, Purpose::Session, &mut |text| warnings.push(text.to_owned()));
        (outcome, warnings)
    }

    #[test]
    fn a_secret_comes_from_a_file_without_its_line_break() {
        let dir = tempfile::tempdir().expect("directory");
        let options = ChapOptions {
            chap_secret_file: Some(file(dir.path(), "s", "correct horse\n", 0o600)),
            chap_user_in: Some("array".into()),
            chap_secret_in_file: Some(file(dir.path(), "t", "battery staple", 0o644)),
            ..ChapOptions::default()
        };
        let (outcome, warnings) = read(&options, Some("alice"));
        let chap = outcome.expect("read").expect("some");
        assert_eq!(
            (chap.username.as_str(), chap.password.expose_secret()),
            ("alice", "correct horse")
        );
        let (name, secret) = chap.mutual.expect("mutual");
        assert_eq!(
            (name.as_str(), secret.expose_secret()),
            ("array", "battery staple")
        );
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("0644"), "{warnings:?}");
    }

    #[test]
    fn what_is_missing_is_named() {
        let dir = tempfile::tempdir().expect("directory");
        let secret = || Some(file(dir.path(), "s", "x", 0o600));
        let none = ChapOptions::default();
        assert!(read(&none, None).0.expect("none").is_none());
        assert_eq!(
            read(&none, Some("alice")).0.expect_err("no secret").code,
            ExitCode::Usage
        );
        let options = ChapOptions {
            chap_secret_file: secret(),
            ..ChapOptions::default()
        };
        assert!(
            read(&options, None)
                .0
                .expect_err("no user")
                .message
                .contains("without a user")
        );
        let options = ChapOptions {
            chap_user: Some("bob".into()),
            ..options
        };
        assert!(
            read(&options, Some("alice"))
                .0
                .expect_err("two users")
                .message
                .contains("--chap-user")
        );
        let options = ChapOptions {
            chap_user_in: Some("array".into()),
            ..options
        };
        assert!(
            read(&options, None)
                .0
                .expect_err("mutual")
                .message
                .contains("--chap-secret-in-file")
        );
        for (content, part) in [("", "empty"), ("\n", "empty"), (&*"x".repeat(1025), "longer")] {
            let path = file(dir.path(), "bad", content, 0o600);
            let options = ChapOptions {
                chap_secret_file: Some(path),
                ..ChapOptions::default()
            };
            assert!(
                read(&options, Some("a"))
                    .0
                    .expect_err(part)
                    .message
                    .contains(part)
            );
        }
        let options = ChapOptions {
            chap_secret_fd: Some(4000),
            ..ChapOptions::default()
        };
        assert_eq!(
            read(&options, Some("a")).0.expect_err("closed").code,
            ExitCode::NotFound
        );
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let dir = tempfile::tempdir().expect("directory");
        let options = ChapOptions {
            chap_secret_file: Some(file(dir.path(), "s", "hunter2hunter2", 0o600)),
            ..ChapOptions::default()
        };
        let (outcome, _) = read(&options, Some("alice"));
        assert!(!format!("{outcome:?}").contains("hunter2"));
    }
}

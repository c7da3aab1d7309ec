//! The host's own iSCSI initiator (open-iscsi), beside which Longshore may live.

use std::path::Path;

use crate::exit::{CliError, ExitCode};

/// Where open-iscsi keeps the host's name.
const FILE: &str = "/etc/iscsi/initiatorname.iscsi";
/// The most processes that are looked at.
const MAX_PROCESSES: usize = 65_536;

/// What the host's own initiator is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct HostInitiator {
    /// `InitiatorName=` of its file.
    pub(crate) name: Option<String>,
    /// Whether iscsid runs.
    pub(crate) iscsid_runs: bool,
}

impl HostInitiator {
    /// Looks at this host.
    pub(crate) fn look() -> Self {
        Self::look_in(Path::new("/"))
    }

    /// Looks at the host whose root is `root`.
    pub(crate) fn look_in(root: &Path) -> Self {
        let file = root.join(FILE.trim_start_matches('/'));
        Self {
            name: std::fs::read_to_string(file).ok().as_deref().and_then(name_in),
            iscsid_runs: is_running_in(root, "iscsid"),
        }
    }

    /// The name for `--from-host`.
    ///
    /// # Errors
    /// The host has none.
    pub(crate) fn require_name(&self) -> Result<&str, CliError> {
        self.name.as_deref().ok_or_else(|| {
            CliError::new(ExitCode::NotFound, format!("no InitiatorName= in {FILE}")).help(
                "the host has no open-iscsi, or it has not made its name yet; use --set NAME or --generate",
            )
        })
    }

    /// What it means when the host uses the same name as we do.
    pub(crate) fn clash_with(&self, ours: &str) -> Option<String> {
        if !self
            .name
            .as_deref()
            .is_some_and(|theirs| theirs.eq_ignore_ascii_case(ours))
        {
            return None;
        }
        let state = if self.iscsid_runs {
            "and iscsid runs: an array shows both as one host, and what iscsid logs out of or resets may be ours"
        } else {
            "but iscsid does not run now; when it does, an array shows both as one host"
        };
        Some(format!(
            "the host's open-iscsi has the same initiator name ({FILE}), {state}"
        ))
    }
}

fn name_in(text: &str) -> Option<String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.strip_prefix("InitiatorName="))
        .map(|name| name.trim().to_owned())
        .find(|name| !name.is_empty())
}

/// Whether a process of this name runs (`/proc/PID/comm`) on the host whose root is `root`.
pub(crate) fn is_running_in(root: &Path, name: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(root.join("proc")) else {
        return false;
    };
    entries
        .take(MAX_PROCESSES)
        .flatten()
        .filter(|entry| {
            entry
                .file_name()
                .to_string_lossy()
                .bytes()
                .all(|byte| byte.is_ascii_digit())
        })
        .any(|entry| std::fs::read_to_string(entry.path().join("comm")).is_ok_and(|comm| comm.trim() == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_read_as_open_iscsi_reads_it() {
        let text = "## comment\n#InitiatorName=iqn.no\n\n InitiatorName=iqn.1993-08.org.debian:01:abc \n";
        assert_eq!(name_in(text).as_deref(), Some("iqn.1993-08.org.debian:01:abc"));
        assert_eq!(name_in("InitiatorName=\n"), None);
        assert_eq!(name_in("GenerateName=yes\n"), None);
    }

    #[test]
    fn a_clash_says_whether_iscsid_runs() {
        let mut host = HostInitiator {
            name: Some("iqn.2003-01.org.example:h".into()),
            iscsid_runs: true,
        };
        assert_eq!(host.clash_with("iqn.2003-01.org.example:other"), None);
        assert!(
            host.clash_with("iqn.2003-01.org.example:h")
                .is_some_and(|text| text.contains("iscsid runs"))
        );
        host.iscsid_runs = false;
        assert!(
            host.clash_with("iqn.2003-01.org.example:h")
                .is_some_and(|text| text.contains("does not run"))
        );
    }
}

//! `longshore doctor`'s findings: what this host has, which data path that gives, and what is missing by name.

mod kernel;
mod limits;
mod others;
mod tools;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::output::{Render, Table};

/// How a finding is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Verdict {
    /// There, and good.
    Ok,
    /// Worth knowing.
    Note,
    /// Something will not work, or not well; volumes do.
    Warning,
    /// Volumes cannot work without it.
    Missing,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Missing => "missing",
        }
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Finding {
    /// What was looked at.
    pub(crate) subject: String,
    /// How to take it.
    pub(crate) verdict: Verdict,
    /// What was found.
    pub(crate) found: String,
    /// What to do, if anything.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) remedy: Option<String>,
}

impl Finding {
    fn new(subject: &str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            subject: subject.to_owned(),
            verdict,
            found: found.into(),
            remedy: None,
        }
    }

    /// Something that is as it should be.
    pub(crate) fn ok(subject: &str, found: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Ok, found)
    }

    /// Something worth knowing.
    pub(crate) fn note(subject: &str, found: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Note, found)
    }

    /// Something that will not work, with what to do.
    pub(crate) fn warning(subject: &str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self::new(subject, Verdict::Warning, found).remedy(remedy)
    }

    fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }
}

/// A host to look at: `/` of the running one, or a directory that a test made.
#[derive(Debug, Clone)]
pub(crate) struct HostRoot(PathBuf);

impl HostRoot {
    /// The running host.
    pub(crate) fn this() -> Self {
        Self(PathBuf::from("/"))
    }

    fn path(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    fn exists(&self, absolute: &str) -> bool {
        self.path(absolute).exists()
    }

    fn read(&self, absolute: &str) -> Option<String> {
        std::fs::read_to_string(self.path(absolute)).ok()
    }
}

/// All findings and what follows from them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The data path that volumes will take, if one can work.
    pub(crate) data_path: Option<&'static str>,
    /// Why this one, or why none.
    pub(crate) reason: String,
    /// What was found.
    pub(crate) findings: Vec<Finding>,
}

/// Looks at `host`, and at the directories that Longshore would use.
pub(crate) fn examine(host: &HostRoot, state_dir: &Path, run_dir: &Path) -> Report {
    let mut findings = kernel::findings(host);
    findings.extend(limits::findings(host));
    findings.extend(tools::findings(host));
    findings.extend(others::findings(host));
    findings.extend([("state directory", state_dir), ("run directory", run_dir)].map(directory));
    let missing: Vec<&str> = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Missing)
        .map(|finding| finding.subject.as_str())
        .collect();
    let (data_path, reason) = if missing.is_empty() {
        let kernel_path = if kernel::has_module(host, "iscsi_tcp") {
            "the kernel's own iscsi_tcp is there, but this version does not use it"
        } else {
            "the kernel's own iscsi_tcp is not there"
        };
        (
            Some("user"),
            format!("user-space initiator, FUSE file and loop device; {kernel_path}"),
        )
    } else {
        (
            None,
            format!("volumes cannot work here: missing {}", missing.join(", ")),
        )
    };
    Report {
        data_path,
        reason,
        findings,
    }
}

fn directory((subject, path): (&str, &Path)) -> Finding {
    let existing = path
        .ancestors()
        .find(|ancestor| ancestor.exists())
        .unwrap_or(Path::new("/"));
    match rustix::fs::access(
        existing,
        rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK,
    ) {
        Ok(()) => Finding::ok(subject, path.display().to_string()),
        Err(error) => Finding::new(
            subject,
            Verdict::Missing,
            format!("{} cannot be written: {error}", existing.display()),
        )
        .remedy("run as root, or name another directory with --state-dir and --run-dir"),
    }
}

impl Render for Report {
    fn human(&self, wide: bool) -> String {
        let mut table = Table::new(&["WHAT", "VERDICT", "FOUND"]);
        for finding in &self.findings {
            table.row([
                finding.subject.clone(),
                finding.verdict.word().to_owned(),
                finding.found.clone(),
            ]);
        }
        let mut text = table.render();
        let mut remedies = self
            .findings
            .iter()
            .filter(|finding| wide || finding.verdict != Verdict::Ok)
            .peekable();
        if remedies.peek().is_some() {
            text.push('\n');
        }
        for finding in remedies {
            if let Some(remedy) = &finding.remedy {
                text.push_str(&format!("{}: {remedy}\n", finding.subject));
            }
        }
        text.push_str(&format!(
            "\nData path: {}: {}\n",
            self.data_path.unwrap_or("none"),
            self.reason
        ));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A host made of files.
    fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, HostRoot) {
        let dir = tempfile::tempdir().expect("directory");
        for (path, content) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().expect("parent")).expect("directories");
            std::fs::write(path, content).expect("written");
        }
        let root = HostRoot(dir.path().to_owned());
        (dir, root)
    }

    fn report(files: &[(&str, &str)]) -> Report {
        let (dir, root) = host(files);
        examine(&root, &dir.path().join("state"), &dir.path().join("run"))
    }

    fn finding<'r>(report: &'r Report, subject: &str) -> &'r Finding {
        report
            .findings
            .iter()
            .find(|finding| finding.subject == subject)
            .unwrap_or_else(|| panic!("no finding {subject} in {:?}", report.findings))
    }

    #[test]
    fn a_bare_host_is_told_what_is_missing_by_name() {
        let report = report(&[
            ("proc/sys/kernel/osrelease", "4.19.0\n"),
            ("proc/filesystems", "nodev\ttmpfs\n"),
        ]);
        assert_eq!(report.data_path, None);
        for subject in ["FUSE", "loop devices", "CAP_SYS_ADMIN"] {
            assert_eq!(finding(&report, subject).verdict, Verdict::Missing, "{subject}");
            assert!(report.reason.contains(subject), "{}", report.reason);
        }
        let tool = finding(&report, "mkfs.xfs");
        assert!(
            tool.remedy
                .as_deref()
                .is_some_and(|remedy| remedy.contains("xfsprogs")),
            "{tool:?}"
        );
    }

    #[test]
    fn a_host_with_fuse_and_loop_has_the_user_space_path() {
        let report = report(&[
            ("proc/sys/kernel/osrelease", "6.1.0-31-amd64\n"),
            ("proc/filesystems", "nodev\ttmpfs\nnodev\tfuse\n\text4\n"),
            ("proc/self/status", "Name:\tx\nCapEff:\t000001ffffffffff\n"),
            ("dev/fuse", ""),
            ("dev/loop-control", ""),
            (
                "lib/modules/6.1.0-31-amd64/modules.dep",
                "kernel/drivers/scsi/iscsi_tcp.ko.xz: a.ko\n",
            ),
            (
                "lib/modules/6.1.0-31-amd64/modules.builtin",
                "kernel/fs/xfs/xfs.ko\n",
            ),
            ("usr/sbin/mkfs.ext4", ""),
            ("sys/fs/cgroup/cgroup.controllers", "cpu"),
        ]);
        // Whether this machine itself has the new mount API does not belong to the files.
        let missing: Vec<_> = report
            .findings
            .iter()
            .filter(|f| f.verdict == Verdict::Missing)
            .collect();
        assert!(
            missing.iter().all(|finding| finding.subject == "mount API"),
            "{missing:?}"
        );
        assert_eq!(finding(&report, "mkfs.ext4").verdict, Verdict::Ok);
        assert_eq!(finding(&report, "file system xfs").found, "built into the kernel");
        assert_eq!(finding(&report, "file system btrfs").verdict, Verdict::Warning);
        assert!(finding(&report, "module iscsi_tcp").found.contains("not loaded"));
        assert!(finding(&report, "cgroup").found.contains("version 2"));
    }

    #[test]
    fn the_text_ends_with_the_data_path() {
        let text = report(&[]).human(false);
        assert!(text.starts_with("WHAT "), "{text}");
        assert!(
            text.lines()
                .last()
                .is_some_and(|line| line.starts_with("Data path: none: ")),
            "{text}"
        );
    }
}

//! `longshore target serve`: runs the embedded target until SIGINT or SIGTERM.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use longshore_target::{ChapConfig, LunConfig, Server, ServerConfig, StartError, TargetConfig};
use serde::Serialize;

use crate::app::App;
use crate::chap;
use crate::exit::{CliError, ExitCode};
use crate::output::{Render, human_bytes};
use crate::shutdown::Shutdown;

use super::{config, lun};

/// How long connections may take to end.
const STOP_TIME: Duration = Duration::from_secs(5);
/// Where the target listens unless it is told.
const DEFAULT_PORTAL: &str = "127.0.0.1:3260";

/// Serve files as LUNs until SIGINT or SIGTERM
///
/// The first line on standard output says that the target listens, and where. Files are made sparse when they do not
/// exist and a size is given. Beside each file a sidecar FILE.longshore keeps the LUN's identity.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// An address to listen on; port 0 takes a free one; may be repeated [default: 127.0.0.1:3260]
    #[arg(long = "portal", value_name = "ADDRESS:PORT")]
    portals: Vec<SocketAddr>,
    /// The target's name
    #[arg(long, value_name = "IQN", required_unless_present = "config")]
    iqn: Option<String>,
    #[arg(
        long = "lun",
        value_name = "LUN",
        value_parser = lun::parse,
        help = "A LUN: NUMBER=PATH[,size=SIZE][,ro][,block=BYTES][,wwid=WWID]; may be repeated"
    )]
    luns: Vec<LunConfig>,
    /// Admit only this initiator; may be repeated
    #[arg(long = "initiator", value_name = "NAME")]
    initiators: Vec<String>,
    /// Admit only who proves this CHAP name
    #[arg(long, value_name = "NAME")]
    chap_user: Option<String>,
    /// A file with the secret of --chap-user
    #[arg(long, value_name = "FILE", conflicts_with = "chap_secret_fd")]
    chap_secret_file: Option<PathBuf>,
    /// An open descriptor with the secret of --chap-user
    #[arg(long, value_name = "N")]
    chap_secret_fd: Option<u32>,
    /// Mutual CHAP: the name that the target proves
    #[arg(long, value_name = "NAME")]
    chap_user_in: Option<String>,
    /// A file with the secret of --chap-user-in
    #[arg(long, value_name = "FILE", conflicts_with = "chap_secret_in_fd")]
    chap_secret_in_file: Option<PathBuf>,
    /// An open descriptor with the secret of --chap-user-in
    #[arg(long, value_name = "N")]
    chap_secret_in_fd: Option<u32>,
    /// A YAML file with targets, LUNs and accounts, instead of the options above
    #[arg(long, value_name = "FILE", conflicts_with_all = ["iqn", "luns", "initiators", "chap_user", "chap_user_in"])]
    config: Option<PathBuf>,
    /// An open descriptor to which READY and a line break are written when the target listens
    #[arg(long, value_name = "N")]
    notify_fd: Option<u32>,
    /// End when the process that started this one ends
    #[arg(long, hide = true)]
    end_with_parent: bool,
}

#[derive(Debug, Serialize)]
struct Ready {
    portals: Vec<String>,
    targets: Vec<ReadyTarget>,
}

#[derive(Debug, Serialize)]
struct ReadyTarget {
    iqn: String,
    luns: Vec<ReadyLun>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ReadyLun {
    lun: u16,
    wwid: String,
    size_bytes: u64,
    read_only: bool,
}

impl Serve {
    pub(super) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        if self.end_with_parent {
            rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::TERM)).map_err(
                |error| {
                    CliError::new(
                        ExitCode::Failure,
                        format!("cannot be told of the parent's end: {error}"),
                    )
                },
            )?;
        }
        let shutdown = Shutdown::catch()?;
        let output = &mut app.output;
        let config = self.server_config(&mut |warning| output.warn(warning))?;
        let server = Server::start(&config).map_err(CliError::from)?;
        // One line, so that a script can wait for it.
        let ready = ready(&server, &config);
        app.line(&ready)?;
        if let Some(number) = self.notify_fd {
            notify(number)?;
        }
        shutdown.wait();
        server
            .stop(Instant::now() + STOP_TIME)
            .map_err(|error| CliError::new(ExitCode::LeftOver, error.to_string()))?;
        Ok(ExitCode::Success)
    }

    fn server_config(&self, warn: &mut dyn FnMut(&str)) -> Result<ServerConfig, CliError> {
        let mut config = match &self.config {
            Some(file) => config::load(file, warn)?,
            None => ServerConfig {
                targets: vec![self.target(warn)?],
                ..ServerConfig::default()
            },
        };
        config.portals.extend(&self.portals);
        if config.portals.is_empty() {
            config.portals.extend(DEFAULT_PORTAL.parse::<SocketAddr>());
        }
        Ok(config)
    }

    fn target(&self, warn: &mut dyn FnMut(&str)) -> Result<TargetConfig, CliError> {
        let mut target = TargetConfig::new(self.iqn.as_deref().unwrap_or_default());
        target.luns = self.luns.clone();
        target.initiators = self.initiators.clone();
        let secret = chap::read_secret(self.chap_secret_file.as_deref(), self.chap_secret_fd, warn)?;
        let own = chap::read_secret(self.chap_secret_in_file.as_deref(), self.chap_secret_in_fd, warn)?;
        target.chap.extend(account(
            self.chap_user.as_deref(),
            secret,
            "--chap-user",
            "--chap-secret-file",
        )?);
        target.mutual_chap = account(
            self.chap_user_in.as_deref(),
            own,
            "--chap-user-in",
            "--chap-secret-in-file",
        )?;
        Ok(target)
    }
}

fn account(
    name: Option<&str>,
    secret: Option<secrecy::SecretString>,
    name_option: &str,
    secret_option: &str,
) -> Result<Option<ChapConfig>, CliError> {
    match (name, secret) {
        (Some(name), Some(secret)) => Ok(Some(ChapConfig {
            name: name.to_owned(),
            secret,
            initiator: None,
        })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(CliError::new(
            ExitCode::Usage,
            format!("{name_option} needs {secret_option}"),
        )),
        (None, Some(_)) => Err(CliError::new(
            ExitCode::Usage,
            format!("{secret_option} needs {name_option}"),
        )),
    }
}

fn ready(server: &Server, config: &ServerConfig) -> Ready {
    let targets = config
        .targets
        .iter()
        .filter_map(|target| server.target(&target.name));
    let targets = targets
        .map(|target| ReadyTarget {
            iqn: target.name().to_owned(),
            luns: target
                .luns()
                .into_iter()
                .map(|lun| ReadyLun {
                    lun: lun.number,
                    wwid: lun.wwid,
                    size_bytes: lun.size_bytes,
                    read_only: lun.read_only,
                })
                .collect(),
        })
        .collect();
    Ready {
        portals: server.local_addrs().iter().map(ToString::to_string).collect(),
        targets,
    }
}

fn notify(number: u32) -> Result<(), CliError> {
    // Through /proc, so that no descriptor is made out of a bare number.
    let path = format!("/proc/self/fd/{number}");
    std::fs::OpenOptions::new()
        .write(true)
        .open(&path)
        .and_then(|mut file| file.write_all(b"READY\n"))
        .map_err(|error| CliError::io("write to the descriptor of --notify-fd", Path::new(&path), &error))
}

impl From<StartError> for CliError {
    fn from(error: StartError) -> Self {
        let code = match &error {
            StartError::Config(_) => ExitCode::Usage,
            StartError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                ExitCode::Busy
            }
            _ => ExitCode::Failure,
        };
        Self::new(code, error.to_string())
    }
}

impl Render for Ready {
    fn human(&self, _: bool) -> String {
        let targets: Vec<String> = self
            .targets
            .iter()
            .map(|target| {
                let luns: Vec<String> = target
                    .luns
                    .iter()
                    .map(|lun| {
                        let ro = if lun.read_only { ", read-only" } else { "" };
                        format!("LUN {} ({}{ro})", lun.lun, human_bytes(lun.size_bytes))
                    })
                    .collect();
                format!(
                    "{} with {}",
                    target.iqn,
                    if luns.is_empty() {
                        "no LUN".to_owned()
                    } else {
                        luns.join(", ")
                    }
                )
            })
            .collect();
        format!("serving at {}: {}\n", self.portals.join(", "), targets.join("; "))
    }
}

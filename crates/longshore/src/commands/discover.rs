//! `longshore discover`: which targets a portal offers (SendTargets, RFC 7143 appendix C).

use clap::Args;
use longshore_initiator::{
    Bind, DiscoverError, DiscoveryConfig, LoginFailure, LoginFailureKind, Portal, TargetRecord, discover,
};
use longshore_iscsi::chap::ChapCredentials;
use longshore_iscsi::name::IscsiName;
use secrecy::SecretString;
use serde::Serialize;

use crate::app::App;
use crate::chap::{ChapOptions, Purpose};
use crate::exit::{CliError, ExitCode};
use crate::initiator::{Machine, Store};
use crate::output::{Render, Table};

/// Ask a portal which targets it offers to this node
#[derive(Debug, Args)]
pub(crate) struct Discover {
    #[arg(
        value_name = "PORTAL[:PORT]",
        help = "Host name, IPv4 or [IPv6], with or without a port"
    )]
    portal: Portal,
    /// The network interface or source address to bind to
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    #[command(flatten)]
    chap: ChapOptions,
}

#[derive(Debug, Serialize)]
struct Report {
    targets: Vec<Target>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    iqn: String,
    portals: Vec<PortalOfTarget>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PortalOfTarget {
    portal: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    target_portal_group_tag: Option<u16>,
}

impl Discover {
    pub(crate) fn run(self, app: &mut App<'_>) -> Result<ExitCode, CliError> {
        let chap = app.chap(&self.chap, None, Purpose::Discovery)?;
        let identity = Store::new(&app.dirs.state_dir).get_or_create(&Machine::this())?;
        let name: IscsiName = identity.name.parse().map_err(|error| {
            CliError::new(
                ExitCode::Failure,
                format!("our initiator name is not valid: {error}"),
            )
        })?;
        let mut config = DiscoveryConfig::new(name, identity.isid()?, vec![self.portal.clone()]);
        config.bind = self.interface.map(|what| match what.parse() {
            Ok(address) => Bind::Address(address),
            Err(_) => Bind::Interface(what),
        });
        if let Some(chap) = chap {
            config.chap = Some(credentials(chap.username, chap.password)?);
            config.mutual_chap = chap
                .mutual
                .map(|(name, secret)| credentials(name, secret))
                .transpose()?;
        }
        let found = run_blocking(config, app.deadline)?;
        app.result(&Report {
            targets: found.into_iter().map(Target::from).collect(),
        })?;
        Ok(ExitCode::Success)
    }
}

fn run_blocking(
    config: DiscoveryConfig,
    deadline: std::time::Instant,
) -> Result<Vec<TargetRecord>, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CliError::new(ExitCode::Failure, format!("cannot begin the discovery: {error}")))?;
    runtime
        .block_on(discover(config, deadline))
        .map_err(CliError::from)
}

fn credentials(name: String, secret: SecretString) -> Result<ChapCredentials, CliError> {
    ChapCredentials::new(name, secret).map_err(|error| CliError::new(ExitCode::Usage, error.to_string()))
}

impl From<TargetRecord> for Target {
    fn from(record: TargetRecord) -> Self {
        let portals = record
            .portals
            .into_iter()
            .map(|address| PortalOfTarget {
                portal: address.portal.to_string(),
                target_portal_group_tag: address.target_portal_group_tag,
            })
            .collect();
        Self {
            iqn: record.name.to_string(),
            portals,
        }
    }
}

impl From<DiscoverError> for CliError {
    fn from(error: DiscoverError) -> Self {
        let code = match &error {
            DiscoverError::Login(failure) => login_code(failure),
            DiscoverError::Deadline { .. } => ExitCode::Timeout,
            DiscoverError::Lost { .. } => ExitCode::Unreachable,
            DiscoverError::Answer { .. } => ExitCode::Failure,
        };
        Self::new(code, error.to_string())
    }
}

fn login_code(failure: &LoginFailure) -> ExitCode {
    match failure.kind() {
        LoginFailureKind::NoPortal | LoginFailureKind::Bind => ExitCode::Usage,
        LoginFailureKind::Unresolved | LoginFailureKind::Unreachable => ExitCode::Unreachable,
        LoginFailureKind::Timeout => ExitCode::Timeout,
        LoginFailureKind::Authentication => ExitCode::Authentication,
        LoginFailureKind::TargetNotFound => ExitCode::NotFound,
        LoginFailureKind::Redirect | LoginFailureKind::Protocol => ExitCode::Failure,
    }
}

impl Render for Report {
    fn human(&self, wide: bool) -> String {
        if self.targets.is_empty() {
            return "The portal offers no target to this node.\n".to_owned();
        }
        let mut headings = vec!["TARGET", "PORTAL"];
        if wide {
            headings.push("GROUP");
        }
        let mut table = Table::new(&headings);
        for target in &self.targets {
            for portal in &target.portals {
                let mut row = vec![target.iqn.clone(), portal.portal.clone()];
                if wide {
                    row.push(
                        portal
                            .target_portal_group_tag
                            .map(|tag| tag.to_string())
                            .unwrap_or_default(),
                    );
                }
                table.row(row);
            }
        }
        table.render()
    }
}

//! `discover`: a discovery session that asks a portal for its targets (RFC 7143 §4.3, appendix C).

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use longshore_iscsi::initiator::{Connection, Event, Settings};
use longshore_iscsi::name::IscsiName;
use longshore_iscsi::text::{KeyValues, SendTargets, TextLimits};

use crate::config::DiscoveryConfig;
use crate::connect::{Connected, Login, connect};
use crate::link::{Link, LinkError};
use crate::login_error::DiscoverError;
use crate::portal::Portal;

/// How long the target may take to confirm the logout; nothing depends on it.
const LOGOUT_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// A portal as a target announces it (TargetAddress).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PortalAddress {
    /// Where it listens.
    pub portal: Portal,
    /// The portal group that it belongs to, when it says so.
    pub target_portal_group_tag: Option<u16>,
}

/// A target of a discovery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TargetRecord {
    /// Its name.
    pub name: IscsiName,
    /// Where it can be reached. A target that names no address is reached where it was discovered.
    pub portals: Vec<PortalAddress>,
}

/// Asks for all targets that the portal shows to this initiator. At most 4,096 targets and 1 MiB of text are taken;
/// names and addresses that break their grammar are left out and logged.
///
/// # Errors
/// [`DiscoverError`], at the latest at `deadline`.
pub async fn discover(
    config: DiscoveryConfig,
    deadline: Instant,
) -> Result<Vec<TargetRecord>, DiscoverError> {
    let connected = connect(&Arc::new(Login::from(&config)), None, deadline).await?;
    let Connected {
        stream,
        decoder,
        parameters,
        portal,
        address,
    } = connected;
    let lost = |reason: String| DiscoverError::Lost {
        portal: portal.clone(),
        reason,
    };
    let mut connection = Connection::new(Instant::now(), parameters, Settings::default());
    let question = Bytes::from_static(b"SendTargets=All\0");
    connection
        .text(question)
        .map_err(|error| lost(error.to_string()))?;
    let mut link = Link::new(stream, decoder, connection);

    let answer = match tokio::time::timeout_at(deadline.into(), poll_fn(|cx| poll_event(&mut link, cx))).await
    {
        Ok(Ok(Event::Text { answer, .. })) => answer,
        Ok(Ok(_)) => None,
        Ok(Err(error)) => return Err(lost(error.to_string())),
        Err(_elapsed) => return Err(DiscoverError::Deadline { portal }),
    };
    if link.connection.logout().is_ok() {
        // A target that does not confirm the end of a discovery does no harm: the connection is closed all the same.
        let until = deadline.min(Instant::now() + LOGOUT_WAIT);
        let _confirmed = tokio::time::timeout_at(until.into(), poll_fn(|cx| poll_event(&mut link, cx))).await;
    }

    let unusable = |reason: String| DiscoverError::Answer {
        portal: portal.clone(),
        reason,
    };
    let answer = answer.ok_or_else(|| unusable("the target rejects the question".to_owned()))?;
    let pairs =
        KeyValues::parse(&answer, TextLimits::SEND_TARGETS).map_err(|error| unusable(error.to_string()))?;
    let targets = SendTargets::from_pairs(&pairs).map_err(|error| unusable(error.to_string()))?;
    for refused in &targets.refused {
        tracing::warn!(%portal, %refused, "a record of a discovery is passed over");
    }
    let here = PortalAddress {
        portal: Portal::from_address(address),
        target_portal_group_tag: None,
    };
    Ok(targets
        .records
        .into_iter()
        .map(|record| to_record(record, &here))
        .collect())
}

fn to_record(record: longshore_iscsi::text::TargetRecord, here: &PortalAddress) -> TargetRecord {
    let mut portals: Vec<PortalAddress> = Vec::new();
    for address in &record.addresses {
        match address
            .to_string()
            .split(',')
            .next()
            .unwrap_or_default()
            .parse::<Portal>()
        {
            Ok(portal) => {
                let target_portal_group_tag = address.portal_group_tag;
                portals.push(PortalAddress {
                    portal,
                    target_portal_group_tag,
                });
            }
            Err(error) => tracing::warn!(target = %record.name, %error, "a portal is passed over"),
        }
    }
    if record.addresses.is_empty() {
        portals.push(here.clone());
    }
    TargetRecord {
        name: record.name,
        portals,
    }
}

/// The next event that is an answer.
fn poll_event(link: &mut Link, cx: &mut Context<'_>) -> Poll<Result<Event, LinkError>> {
    loop {
        link.fill();
        if let Poll::Ready(Err(error)) = link.poll_write(cx, Instant::now()) {
            return Poll::Ready(Err(error));
        }
        while let Some(event) = link.connection.poll_event() {
            if matches!(event, Event::Text { .. } | Event::LoggedOut) {
                return Poll::Ready(Ok(event));
            }
        }
        match link.poll_read(cx, Instant::now()) {
            Poll::Ready(result) => result?,
            Poll::Pending => return Poll::Pending,
        }
    }
}

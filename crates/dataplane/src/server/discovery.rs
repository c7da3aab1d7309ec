//! Answers a discovery.

use std::time::Instant;

use super::{source, translate};
use crate::proto::{DiscoverRequest, DiscoveredTarget, RemoteError};

pub(super) async fn discover(
    request: &DiscoverRequest,
    deadline: Instant,
) -> Result<Vec<DiscoveredTarget>, RemoteError> {
    let config = source::discovery_config(request)?;
    let records = longshore_initiator::discover(config, deadline).await;
    let records = records.map_err(|error| translate::discover(&error))?;
    Ok(records
        .into_iter()
        .map(|record| DiscoveredTarget {
            iqn: record.name.to_string(),
            portals: record
                .portals
                .iter()
                .map(|address| match address.target_portal_group_tag {
                    Some(tag) => format!("{},{tag}", address.portal),
                    None => address.portal.to_string(),
                })
                .collect(),
        })
        .collect())
}

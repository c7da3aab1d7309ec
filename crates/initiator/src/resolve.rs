//! Host names to addresses without the C library, whose static form has no name service switch: `/etc/hosts` and
//! `/etc/resolv.conf` are read here. The resolver is built for one look-up and dropped after it, for memory's sake.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{LookupIpStrategy, ResolveHosts, ResolverConfig, ResolverOpts};
use hickory_resolver::name_server::TokioConnectionProvider;

use crate::portal::{Host, Portal};

/// The most addresses of one name that are used.
const ADDRESSES_MAX: usize = 16;

/// Why a host name has no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The look-up ended without an address.
    #[error(
        "host name {name:?} does not resolve: {reason}; check the name, /etc/hosts and the name servers in /etc/resolv.conf"
    )]
    NotFound {
        /// The name.
        name: String,
        /// What the resolver said.
        reason: String,
    },
    /// No answer in time.
    #[error("the name servers in /etc/resolv.conf did not answer for {name:?} before the deadline")]
    Deadline {
        /// The name.
        name: String,
    },
}

/// The addresses of a portal, in the order in which they should be tried; at most 16, never none.
///
/// # Errors
/// [`ResolveError`], at the latest at `deadline`.
pub(crate) async fn resolve(portal: &Portal, deadline: Instant) -> Result<Vec<SocketAddr>, ResolveError> {
    let name = match &portal.host {
        Host::Address(ip) => return Ok(vec![SocketAddr::new(*ip, portal.port)]),
        Host::Name(name) => name,
    };
    let found = match tokio::time::timeout_at(deadline.into(), look_up(name)).await {
        Ok(found) => found?,
        Err(_elapsed) => return Err(ResolveError::Deadline { name: name.clone() }),
    };
    Ok(found
        .into_iter()
        .take(ADDRESSES_MAX)
        .map(|ip| SocketAddr::new(ip, portal.port))
        .collect())
}

async fn look_up(name: &str) -> Result<Vec<IpAddr>, ResolveError> {
    let not_found = |reason: String| ResolveError::NotFound {
        name: name.to_owned(),
        reason,
    };
    // Without a readable resolv.conf there is still /etc/hosts.
    let (config, mut options) = hickory_resolver::system_conf::read_system_conf()
        .unwrap_or_else(|_| (ResolverConfig::new(), ResolverOpts::default()));
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
    options.use_hosts_file = ResolveHosts::Always;
    options.cache_size = 0;
    let mut builder = TokioResolver::builder_with_config(config, TokioConnectionProvider::default());
    *builder.options_mut() = options;
    let found = builder
        .build()
        .lookup_ip(name)
        .await
        .map_err(|error| not_found(error.to_string()))?;
    let mut addresses: Vec<IpAddr> = found.iter().collect();
    addresses.dedup();
    if addresses.is_empty() {
        return Err(not_found("it has no address".to_owned()));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn a_numeric_portal_is_not_looked_up() {
        let portal: Portal = "[2001:db8::7]:4000".parse().unwrap();
        let addresses = resolve(&portal, Instant::now()).await.unwrap();
        assert_eq!(addresses, ["[2001:db8::7]:4000".parse().unwrap()]);
    }

    #[tokio::test]
    async fn localhost_comes_from_the_hosts_file() {
        let portal: Portal = "localhost:860".parse().unwrap();
        let addresses = resolve(&portal, soon()).await.unwrap();
        assert!(
            addresses
                .iter()
                .all(|address| address.ip().is_loopback() && address.port() == 860)
        );
    }

    #[tokio::test]
    async fn a_name_that_cannot_exist_gives_its_name_and_a_remedy_f22() {
        let portal: Portal = "nas.invalid".parse().unwrap();
        let error = resolve(&portal, soon()).await.unwrap_err().to_string();
        assert!(
            error.contains("nas.invalid") && error.contains("/etc/resolv.conf"),
            "{error}"
        );
    }
}

//! TargetAddress: `host[:port][,portal-group-tag]` (RFC 7143 §13.8).

use super::TextError;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// The port that IANA gave to iSCSI.
const DEFAULT_PORT: u16 = 3260;

/// Where a target can be reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TargetAddress {
    /// An IPv4 address, an IPv6 address without brackets, or a host name. Checked against the grammar of one of them.
    pub host: String,
    /// TCP port; 3260 when the text names none.
    pub port: u16,
    /// TargetPortalGroupTag; a redirection has none.
    pub portal_group_tag: Option<u16>,
}

impl FromStr for TargetAddress {
    type Err = TextError;

    fn from_str(text: &str) -> Result<Self, TextError> {
        let bad = |why| TextError::BadTargetAddress {
            address: text.chars().take(255).collect(),
            why,
        };
        let (place, tag) = match text.split_once(',') {
            None => (text, None),
            Some((place, tag)) => {
                let tag = decimal(tag).ok_or_else(|| bad("the portal group tag is no number"))?;
                (place, Some(tag))
            }
        };
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => rest
                .split_once(']')
                .ok_or_else(|| bad("an IPv6 address lacks its closing bracket"))?,
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => decimal(port)
                .filter(|port| *port != 0)
                .ok_or_else(|| bad("the port is no number from 1 to 65535"))?,
            None if port.is_empty() => DEFAULT_PORT,
            None => return Err(bad("something other than a port follows the address")),
        };
        let good = match place.starts_with('[') {
            true => host.parse::<Ipv6Addr>().is_ok(),
            false => host.parse::<Ipv4Addr>().is_ok() || is_host_name(host),
        };
        if !good {
            return Err(bad("the host is neither an IP address nor a host name"));
        }
        Ok(Self {
            host: host.to_owned(),
            port,
            portal_group_tag: tag,
        })
    }
}

fn decimal(text: &str) -> Option<u16> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Labels of letters, digits, '-' and '_' with dots between, at most 253 characters.
fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
    };
    let text = text.strip_suffix('.').unwrap_or(text);
    text.len() <= 253 && text.split('.').all(label)
}

impl fmt::Display for TargetAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port)?,
            false => write!(f, "{}:{}", self.host, self.port)?,
        }
        match self.portal_group_tag {
            Some(tag) => write!(f, ",{tag}"),
            None => Ok(()),
        }
    }
}

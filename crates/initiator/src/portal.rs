//! `Portal`: where a target listens, as people write it: host name, IPv4, `[IPv6]`, with or without a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// The TCP port that IANA assigned to iSCSI (RFC 7143 §4.2.7.1).
pub const DEFAULT_PORT: u16 = 3260;

/// The host of a [`Portal`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// A numeric address; nothing has to be looked up.
    Address(IpAddr),
    /// A DNS name, lower case, checked against RFC 1123.
    Name(String),
}

/// A network portal of a target: host and TCP port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Portal {
    /// Host name or address.
    pub host: Host,
    /// TCP port; [`DEFAULT_PORT`] when none was written.
    pub port: u16,
}

/// Why a text is not a portal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("portal {text:?} is not valid: {reason}; write HOST, HOST:PORT, IPV4:PORT or [IPV6]:PORT")]
pub struct PortalError {
    /// What was given, shortened when it is long.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl Portal {
    /// The portal at a numeric address.
    pub fn from_address(address: SocketAddr) -> Self {
        Portal {
            host: Host::Address(address.ip()),
            port: address.port(),
        }
    }

    /// The numeric address, when there is nothing to look up.
    pub fn address(&self) -> Option<SocketAddr> {
        match self.host {
            Host::Address(ip) => Some(SocketAddr::new(ip, self.port)),
            Host::Name(_) => None,
        }
    }
}

impl FromStr for Portal {
    type Err = PortalError;

    /// Reads `host`, `host:port`, `a.b.c.d`, `a.b.c.d:port`, `[v6]`, `[v6]:port`, and a bare IPv6 address.
    fn from_str(text: &str) -> Result<Self, PortalError> {
        let wrong = |reason| PortalError {
            text: text.chars().take(300).collect(),
            reason,
        };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (inner, after) = rest
                .split_once(']')
                .ok_or_else(|| wrong("the bracket is not closed"))?;
            let ip = inner
                .parse::<Ipv6Addr>()
                .map_err(|_| wrong("what stands in brackets is not an IPv6 address"))?;
            let port = match after.strip_prefix(':') {
                Some(port) => parse_port(port).map_err(wrong)?,
                None if after.is_empty() => DEFAULT_PORT,
                None => return Err(wrong("only a colon and a port may follow the bracket")),
            };
            return Ok(Portal {
                host: Host::Address(IpAddr::V6(ip)),
                port,
            });
        }
        if let Ok(ip) = text.parse::<Ipv6Addr>() {
            return Ok(Portal {
                host: Host::Address(IpAddr::V6(ip)),
                port: DEFAULT_PORT,
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(wrong("an IPv6 address with a port needs brackets"));
            }
            Some((host, port)) => (host, parse_port(port).map_err(wrong)?),
            None => (text, DEFAULT_PORT),
        };
        let host = parse_host(host).map_err(wrong)?;
        Ok(Portal { host, port })
    }
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("the port is not a number");
    }
    match text.parse::<u16>() {
        Ok(0) | Err(_) => Err("the port is not between 1 and 65535"),
        Ok(port) => Ok(port),
    }
}

/// A host is an IPv4 address or a name of RFC 1123 labels. A name that looks like an address (`10.0.0`,
/// `10.0.0.256`) is refused: some resolvers would take it for another address.
fn parse_host(text: &str) -> Result<Host, &'static str> {
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Address(IpAddr::V4(ip)));
    }
    let name = text.strip_suffix('.').unwrap_or(text);
    if name.is_empty() {
        return Err("the host is empty");
    }
    if name.len() > 253 {
        return Err("the host name is longer than 253 characters");
    }
    for label in name.split('.') {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if label.is_empty() || label.len() > 63 {
            return Err("a label of the host name is empty or longer than 63 characters");
        }
        if !label.bytes().all(legal) || label.starts_with('-') || label.ends_with('-') {
            return Err("the host name has a character that host names do not have");
        }
    }
    if name
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Err("it looks like an IPv4 address but is none");
    }
    Ok(Host::Name(name.to_ascii_lowercase()))
}

impl fmt::Display for Portal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Address(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        text.parse::<Portal>().unwrap().to_string()
    }

    #[test]
    fn reads_every_form_that_people_write_f22() {
        assert_eq!(shown("192.0.2.7"), "192.0.2.7:3260");
        assert_eq!(shown("192.0.2.7:860"), "192.0.2.7:860");
        assert_eq!(shown("[2001:db8::1]"), "[2001:db8::1]:3260");
        assert_eq!(shown("[2001:db8::1]:3261"), "[2001:db8::1]:3261");
        assert_eq!(shown("2001:db8::1"), "[2001:db8::1]:3260");
        assert_eq!(shown("NAS.example.org"), "nas.example.org:3260");
        assert_eq!(shown("nas_1.example.org.:3299"), "nas_1.example.org:3299");
    }

    #[test]
    fn refuses_with_a_reason_f22() {
        let cases = [
            ("", "empty"),
            (":3260", "host is empty"),
            ("host:", "not a number"),
            ("host:http", "not a number"),
            ("host:+80", "not a number"),
            ("host:0", "between 1 and 65535"),
            ("host:65536", "between 1 and 65535"),
            ("[::1", "not closed"),
            ("[nas]:1", "not an IPv6"),
            ("[::1]3260", "follow the bracket"),
            ("1:2:3:4", "needs brackets"),
            ("10.0.0.256", "looks like an IPv4"),
            ("10.0.0", "looks like an IPv4"),
            ("a..b", "empty or longer"),
            ("-a.b", "character"),
            ("a/b", "character"),
            ("iqn x", "character"),
        ];
        for (text, reason) in cases {
            let error = text.parse::<Portal>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?} gave {error}");
        }
    }

    #[test]
    fn a_numeric_portal_needs_no_lookup() {
        assert!("nas".parse::<Portal>().unwrap().address().is_none());
        let portal: Portal = "[::1]:5".parse().unwrap();
        assert_eq!(Portal::from_address(portal.address().unwrap()), portal);
    }
}

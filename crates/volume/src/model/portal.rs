//! The grammar of a portal as far as a specification must be refused early; the initiator parses it in full.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Checks `HOST`, `HOST:PORT`, `IPV4:PORT`, `[IPV6]:PORT` or a bare IPv6 address (F22).
pub(super) fn check(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > 300 {
        return Err("it is longer than 300 bytes");
    }
    if let Some(rest) = text.strip_prefix('[') {
        let (inner, after) = rest.split_once(']').ok_or("the bracket is not closed")?;
        inner
            .parse::<Ipv6Addr>()
            .map_err(|_| "what stands in brackets is not an IPv6 address")?;
        return match after.strip_prefix(':') {
            Some(digits) => port(digits),
            None if after.is_empty() => Ok(()),
            None => Err("only a colon and a port may follow the bracket"),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(());
    }
    match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => Err("an IPv6 address with a port needs brackets"),
        Some((name, digits)) => host(name).and_then(|()| port(digits)),
        None => host(text),
    }
}

fn port(digits: &str) -> Result<(), &'static str> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse::<u16>() {
        Ok(1..) if plain => Ok(()),
        _ => Err("the port is not a number from 1 to 65535"),
    }
}

fn host(name: &str) -> Result<(), &'static str> {
    if name.parse::<Ipv4Addr>().is_ok() {
        return Ok(());
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    let label_ok = |label: &str| {
        let inner = label.bytes().all(legal) && !label.starts_with('-') && !label.ends_with('-');
        !label.is_empty() && label.len() <= 63 && inner
    };
    if name.is_empty() {
        return Err("the host is missing");
    }
    if name.len() > 253 || !name.split('.').all(label_ok) {
        return Err("the host is neither an address nor a host name");
    }
    if name
        .rsplit('.')
        .next()
        .is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err("it looks like an IPv4 address but is none");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn takes_every_form_that_people_write_and_refuses_the_rest_f22() {
        for good in [
            "nas",
            "nas.example.org:860",
            "192.0.2.1",
            "192.0.2.1:3260",
            "::1",
            "[::1]",
            "[::1]:1",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            ":3260",
            "nas:",
            "nas:0",
            "nas:65536",
            "nas:+1",
            "[::1",
            "[nas]:1",
            "[::1]1",
            "1:2:3:4",
            "10.0.0",
            "10.0.0.256",
            "a..b",
            "-a",
            "a/b",
            "a b",
            "nas,nas2",
        ];
        for text in bad {
            assert!(check(text).is_err(), "{text}");
        }
    }
}

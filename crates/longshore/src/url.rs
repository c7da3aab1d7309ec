//! `iscsi://[USER@]PORTAL[:PORT]/IQN/LUN`: a volume on the command line.

use std::fmt;
use std::str::FromStr;

use longshore_initiator::Portal;
use longshore_iscsi::name::IscsiName;

/// The highest LUN of the flat addressing method (SAM-5 §4.7.3.1.3).
const MAX_LUN: u16 = 16383;
const FORM: &str = "write iscsi://[USER@]PORTAL[:PORT]/IQN/LUN";

/// A LUN named by a URL. It never holds a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IscsiUrl {
    /// The CHAP user.
    pub(crate) user: Option<String>,
    /// Where the target listens.
    pub(crate) portal: Portal,
    /// The target.
    pub(crate) iqn: IscsiName,
    /// The logical unit.
    pub(crate) lun: u16,
}

impl FromStr for IscsiUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The text itself is not repeated before it is known to hold no password.
        let rest = text
            .strip_prefix("iscsi://")
            .ok_or(format!("it does not begin with iscsi://; {FORM}"))?;
        if rest.contains(['?', '#']) {
            return Err(format!("it has a query or a fragment; {FORM}"));
        }
        let (authority, path) = rest
            .split_once('/')
            .ok_or(format!("the target's name is missing; {FORM}"))?;
        let (user, portal) = match authority.rsplit_once('@') {
            Some((user, portal)) => (Some(read_user(user)?), portal),
            None => (None, authority),
        };
        let portal = portal.parse::<Portal>().map_err(|error| error.to_string())?;
        let (iqn, lun) = path
            .rsplit_once('/')
            .ok_or(format!("the LUN is missing; {FORM}"))?;
        let iqn = decode(iqn)?
            .parse::<IscsiName>()
            .map_err(|error| error.to_string())?;
        let lun = lun
            .parse::<u16>()
            .ok()
            .filter(|number| *number <= MAX_LUN && !lun.starts_with('+'))
            .ok_or(format!("{lun:?} is not a LUN (a number from 0 to {MAX_LUN})"))?;
        Ok(Self {
            user,
            portal,
            iqn,
            lun,
        })
    }
}

impl fmt::Display for IscsiUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "iscsi://{}/{}/{}", self.portal, self.iqn, self.lun)
    }
}

fn read_user(written: &str) -> Result<String, String> {
    if written.contains(':') || written.contains('%') && decode(written)?.contains(':') {
        return Err(
            "a password in a URL is visible to every user of this machine; give only USER@, and the \
                    secret by --chap-secret-file or --chap-secret-fd"
                .to_owned(),
        );
    }
    let user = decode(written)?;
    if user.is_empty() || user.len() > 255 || user.chars().any(char::is_control) {
        return Err("the user before `@` must have 1 to 255 bytes and no control characters".to_owned());
    }
    Ok(user)
}

/// Percent-decoding (RFC 3986 §2.1).
fn decode(text: &str) -> Result<String, String> {
    let wrong = || "a `%` in it is not followed by two hexadecimal digits of UTF-8 text".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first != b'%' {
            bytes.push(*first);
            rest = after;
            continue;
        }
        let (digits, after) = after.split_at_checked(2).ok_or_else(wrong)?;
        let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
        bytes.push(u8::from_str_radix(digits, 16).map_err(|_| wrong())?);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<IscsiUrl, String> {
        text.parse()
    }

    #[test]
    fn all_forms_of_portals() {
        let url = parse("iscsi://10.0.0.1/iqn.2003-01.org.example:a/3").expect("valid");
        assert_eq!((url.portal.port, url.lun, url.user), (3260, 3, None));
        let url = parse("iscsi://alice@[::1]:3261/iqn.2003-01.org.example:a/0").expect("valid");
        assert_eq!((url.portal.port, url.user.as_deref()), (3261, Some("alice")));
        assert_eq!(url.to_string(), "iscsi://[::1]:3261/iqn.2003-01.org.example:a/0");
        let url = parse("iscsi://iqn.2003-01.org:bob%20x@nas.example/iqn.2003-01.org.example:a/0");
        assert!(url.is_err(), "a colon before the @ is taken for a password");
    }

    #[test]
    fn a_password_is_refused_and_not_repeated() {
        for text in [
            "iscsi://alice:hunter2hunter2@nas/iqn.2003-01.org.example:a/0",
            "iscsi://alice%3Ahunter2hunter2@nas/iqn.2003-01.org.example:a/0",
        ] {
            let problem = parse(text).expect_err("refused");
            assert!(
                problem.contains("--chap-secret-file") && !problem.contains("hunter2"),
                "{problem}"
            );
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        for (text, part) in [
            ("nas/iqn.2003-01.org.example:a/0", "iscsi://"),
            ("iscsi://nas", "name is missing"),
            ("iscsi://nas/iqn.2003-01.org.example:a", "LUN is missing"),
            ("iscsi://nas/iqn.2003-01.org.example:a/x", "not a LUN"),
            ("iscsi://nas/iqn.2003-01.org.example:a/+1", "not a LUN"),
            ("iscsi://nas/iqn.2003-01.org.example:a/16384", "not a LUN"),
            ("iscsi://nas:0/iqn.2003-01.org.example:a/0", "portal"),
            ("iscsi://nas/notaname/0", "notaname"),
            ("iscsi://nas/iqn.2003-01.org.example:a/0?x=y", "query"),
            ("iscsi://nas/iqn%zz/0", "%"),
            ("iscsi://@nas/iqn.2003-01.org.example:a/0", "before `@`"),
        ] {
            let problem = parse(text).expect_err(text);
            assert!(problem.contains(part), "{text}: {problem}");
        }
    }
}

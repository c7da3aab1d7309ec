//! iSCSI names: the iqn, eui and naa grammars (RFC 7143 §4.2.7) and their normal form (RFC 3722).

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;

/// Longest name, in bytes.
pub const MAX_NAME_LEN: usize = 223;

/// The name of an initiator or a target, checked, in the spelling in which it was given.
///
/// Names that differ only in case are the same name (RFC 3722 folds ASCII letters to lower case), so they are compared,
/// ordered and hashed in normal form. What goes on the wire and to the user keeps its capitals all the same: RFC 7143
/// §4.2.7 wants the normal form there, but arrays exist that have names with capitals and compare them byte by byte.
/// Keys that are made of a name's text take [`IscsiName::normalized`].
///
/// Names outside ASCII are refused: their normal form needs Unicode tables, and no array is known to use one.
/// Of ASCII, RFC 3722 leaves letters, digits, `-`, `.` and `:`. One more is taken, `_` behind the colon of an iqn,
/// because arrays and their administrators use it.
///
/// A name is never a path: it holds no `/`, no white space and no control characters, and starts with its type.
#[derive(Clone, Debug)]
pub struct IscsiName(String);

/// Which of the three grammars a name follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameType {
    /// `iqn.YYYY-MM.reversed.domain[:text]`
    Iqn,
    /// `eui.` and 16 hexadecimal digits.
    Eui,
    /// `naa.` and 16 or 32 hexadecimal digits.
    Naa,
}

/// A text that is no iSCSI name: where it breaks which rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name:?} is no iSCSI name: {}{rule}", Place(*.found, *.position))]
pub struct NameError {
    /// The text, cut to 223 characters, with control characters escaped.
    pub name: String,
    /// Where it breaks the rule: characters from the start, counted from 1.
    pub position: usize,
    /// The character there; `None` at the end of the text.
    pub found: Option<char>,
    /// The rule.
    pub rule: &'static str,
}

struct Place(Option<char>, usize);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(found) => write!(f, "{found:?} at position {}: ", self.1),
            None => write!(f, "it ends at position {}: ", self.1),
        }
    }
}

impl IscsiName {
    /// The name as it was given: for the wire and for people.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name in normal form: for keys, file names, hashes.
    pub fn normalized(&self) -> String {
        self.0.to_ascii_lowercase()
    }

    /// The grammar that the name follows.
    pub fn name_type(&self) -> NameType {
        match self.0.as_bytes()[0].to_ascii_lowercase() {
            b'i' => NameType::Iqn,
            b'e' => NameType::Eui,
            _ => NameType::Naa,
        }
    }

    /// The bytes of the normal form.
    fn normal_bytes(&self) -> impl Iterator<Item = u8> + '_ {
        self.0.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl PartialEq for IscsiName {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for IscsiName {}

impl Hash for IscsiName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.normal_bytes().for_each(|byte| state.write_u8(byte));
        state.write_u8(0xff);
    }
}

impl Ord for IscsiName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.normal_bytes().cmp(other.normal_bytes())
    }
}

impl PartialOrd for IscsiName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for IscsiName {
    type Err = NameError;

    /// Checks the grammar and keeps the spelling. White space around it is not taken away.
    fn from_str(text: &str) -> Result<Self, NameError> {
        check(text).map_err(|broken| broken.in_text(text))?;
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<&str> for IscsiName {
    type Error = NameError;

    fn try_from(text: &str) -> Result<Self, NameError> {
        text.parse()
    }
}

impl AsRef<str> for IscsiName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for IscsiName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A broken rule, at a place in the text: characters from the start, counted from 0.
struct Broken {
    at: usize,
    rule: &'static str,
}

impl Broken {
    fn in_text(self, text: &str) -> NameError {
        NameError {
            name: text.chars().take(MAX_NAME_LEN).collect(),
            position: self.at + 1,
            found: text.chars().nth(self.at),
            rule: self.rule,
        }
    }
}

fn check(text: &str) -> Result<(), Broken> {
    let broken = |at, rule| Err(Broken { at, rule });
    // All bytes are ASCII from here on, so a byte's place is its character's.
    if let Some(at) = text.chars().position(|c| !c.is_ascii()) {
        return broken(at, "only ASCII letters, digits, '-', '.', ':' are supported");
    }
    if text.len() > MAX_NAME_LEN {
        return broken(MAX_NAME_LEN, "a name has at most 223 characters");
    }
    let prefix = text.get(..4).unwrap_or_default().to_ascii_lowercase();
    match prefix.as_str() {
        "iqn." => check_iqn(text.as_bytes()),
        "eui." => check_digits(
            text.as_bytes(),
            &[16],
            "'eui.' is followed by exactly 16 hexadecimal digits",
        ),
        "naa." => check_digits(
            text.as_bytes(),
            &[16, 32],
            "'naa.' is followed by exactly 16 or 32 hexadecimal digits",
        ),
        _ => broken(0, "a name starts with 'iqn.', 'eui.' or 'naa.'"),
    }
}

/// `iqn.` has been seen; what follows is `YYYY-MM.domain[:text]`.
fn check_iqn(text: &[u8]) -> Result<(), Broken> {
    const DATE_RULE: &str = "'iqn.' is followed by a date and a dot, such as '2001-04.'";
    const MONTH_RULE: &str = "a month is 01 to 12";
    const DOMAIN_RULE: &str = "the date is followed by a reversed domain name, such as 'com.example'";
    const TEXT_RULE: &str =
        "behind the colon stand only letters, digits, '-', '.', ':' and '_', at least one";
    for (at, want) in b"0000-00.".iter().enumerate() {
        let good = match (want, text.get(4 + at)) {
            (_, None) => false,
            (b'0', Some(found)) => found.is_ascii_digit(),
            (want, Some(found)) => want == found,
        };
        if !good {
            let (at, rule) = (4 + at, DATE_RULE);
            return Err(Broken { at, rule });
        }
    }
    if !matches!(&text[9..11], [b'0', b'1'..=b'9'] | [b'1', b'0'..=b'2']) {
        let (at, rule) = (9, MONTH_RULE);
        return Err(Broken { at, rule });
    }
    const DOMAIN_AT: usize = 12;
    let colon = text.iter().position(|byte| *byte == b':');
    let domain_end = colon.unwrap_or(text.len());
    let mut label_start = true;
    for at in DOMAIN_AT..=domain_end {
        let byte = text.get(at).filter(|_| at < domain_end);
        let good = match byte {
            Some(b'-' | b'.') | None => !label_start,
            Some(byte) => byte.is_ascii_alphanumeric(),
        };
        // A label neither starts nor ends with a hyphen.
        let label_ends = matches!(byte, Some(b'.') | None);
        if !good || (label_ends && text[at - 1] == b'-') {
            let rule = DOMAIN_RULE;
            return Err(Broken { at, rule });
        }
        label_start = byte == Some(&b'.');
    }
    let Some(colon) = colon else { return Ok(()) };
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.:_".contains(byte);
    let rest = &text[colon + 1..];
    match rest.iter().position(|byte| !allowed(byte)) {
        None if !rest.is_empty() => Ok(()),
        bad => Err(Broken {
            at: colon + 1 + bad.unwrap_or(0),
            rule: TEXT_RULE,
        }),
    }
}

fn check_digits(text: &[u8], lengths: &[usize], rule: &'static str) -> Result<(), Broken> {
    let digits = &text[4..];
    if let Some(at) = digits.iter().position(|byte| !byte.is_ascii_hexdigit()) {
        return Err(Broken { at: 4 + at, rule });
    }
    match lengths.contains(&digits.len()) {
        true => Ok(()),
        false => {
            let most = lengths.iter().copied().max().unwrap_or(0);
            let at = 4 + digits.len().min(most);
            Err(Broken { at, rule })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_normal_form() {
        let cases = [
            (
                "iqn.2001-04.com.example",
                "iqn.2001-04.com.example",
                NameType::Iqn,
            ),
            (
                "IQN.2001-04.COM.Example:Disk1",
                "iqn.2001-04.com.example:disk1",
                NameType::Iqn,
            ),
            (
                "iqn.1998-12.a-b.c:x:y.z-1_2",
                "iqn.1998-12.a-b.c:x:y.z-1_2",
                NameType::Iqn,
            ),
            ("eui.02004567A425678D", "eui.02004567a425678d", NameType::Eui),
            ("naa.52004567BA64678D", "naa.52004567ba64678d", NameType::Naa),
            (
                "naa.62004567BA64678D0123456789ABCDEF",
                "naa.62004567ba64678d0123456789abcdef",
                NameType::Naa,
            ),
        ];
        for (text, normal, name_type) in cases {
            let name: IscsiName = text.parse().unwrap();
            assert_eq!((name.as_str(), name.name_type()), (text, name_type));
            assert_eq!(
                (name.to_string(), name.normalized()),
                (text.into(), normal.into())
            );
            assert_eq!(normal.parse(), Ok(name));
        }
    }

    #[test]
    fn spellings_of_one_name_are_one_key() {
        let name = |text: &str| text.parse::<IscsiName>().unwrap();
        let (given, normal) = (
            name("iqn.2000-01.com.Example:NAS.Target-1"),
            name("iqn.2000-01.com.example:nas.target-1"),
        );
        let other = name("iqn.2000-01.com.example:nas.target-2");
        assert_eq!(given, normal);
        assert_eq!(given.cmp(&normal), Ordering::Equal);
        assert!(given < other);
        let keys = std::collections::HashSet::from([given]);
        assert!(keys.contains(&normal) && !keys.contains(&other));
    }

    /// The text, the place of the error counted from 1, and the character there.
    #[test]
    fn bad_names() {
        let cases = [
            ("", 1, None),
            ("iqn", 1, Some('i')),
            ("disk", 1, Some('d')),
            ("../iqn.2001-04.com.example", 1, Some('.')),
            (" iqn.2001-04.com.example", 1, Some(' ')),
            ("iqn.", 5, None),
            ("iqn.2001-04", 12, None),
            ("iqn.2001-04.", 13, None),
            ("iqn.201-04.com.example", 8, Some('-')),
            ("iqn.2001-13.com.example", 10, Some('1')),
            ("iqn.2001-00.com.example", 10, Some('0')),
            ("iqn.2001-04.com..example", 17, Some('.')),
            ("iqn.2001-04.-com", 13, Some('-')),
            ("iqn.2001-04.com-.example", 17, Some('.')),
            ("iqn.2001-04.com-", 17, None),
            ("iqn.2001-04.com.exa_mple", 20, Some('_')),
            ("iqn.2001-04.com.example:", 25, None),
            ("iqn.2001-04.com.example:a/b", 26, Some('/')),
            ("iqn.2001-04.com.example:a b", 26, Some(' ')),
            ("iqn.2001-04.com.example:a\nb", 26, Some('\n')),
            ("iqn.2001-04.com.example:gr\u{f6}\u{df}e", 27, Some('\u{f6}')),
            ("eui.02004567A425678", 20, None),
            ("eui.02004567A425678G", 20, Some('G')),
            ("eui.02004567A425678D0", 21, Some('0')),
            ("naa.52004567BA64678", 20, None),
            ("naa.52004567BA64678D0", 22, None),
        ];
        for (text, position, found) in cases {
            let error = text.parse::<IscsiName>().unwrap_err();
            assert_eq!((error.position, error.found), (position, found), "{error}");
        }
    }

    #[test]
    fn the_longest_name() {
        let longest = format!("iqn.2001-04.com.example:{}", "x".repeat(199));
        assert_eq!(longest.len(), MAX_NAME_LEN);
        assert!(longest.parse::<IscsiName>().is_ok());
        let error = format!("{longest}x").parse::<IscsiName>().unwrap_err();
        assert_eq!(
            (error.position, error.found, error.name.len()),
            (224, Some('x'), MAX_NAME_LEN)
        );
    }

    #[test]
    fn an_error_shows_the_place() {
        let error = "iqn.2001-04.com.example:my disk"
            .parse::<IscsiName>()
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "\"iqn.2001-04.com.example:my disk\" is no iSCSI name: ' ' at position 27: \
             behind the colon stand only letters, digits, '-', '.', ':' and '_', at least one"
        );
        let error = "iqn.2001-04".parse::<IscsiName>().unwrap_err();
        assert!(error.to_string().contains("it ends at position 12: "), "{error}");
    }
}

//! Mount options: read from the user's words, checked against an allow-list, turned into what the kernel takes.

mod table;

use rustix::mount::{MountAttrFlags, MountFlags};
use table::Value;

/// The most options of one mount, and the most bytes of one (an fsconfig string holds 255).
const MAX_OPTIONS: usize = 64;
const MAX_BYTES: usize = 255;

/// What holds when the user says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OptionDefaults {
    /// Set-user-ID bits are ignored; `suid` among the options turns it off.
    pub nosuid: bool,
    /// Device nodes are ignored; `dev` among the options turns it off.
    pub nodev: bool,
}

impl Default for OptionDefaults {
    fn default() -> Self {
        Self {
            nosuid: true,
            nodev: true,
        }
    }
}

/// An option that is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// The file system type has no table.
    #[error("no mount options are known for the file system type {0:?}; ext4, xfs and btrfs are supported")]
    UnknownType(String),
    /// Not on the allow-list.
    #[error("mount option {option:?} is not allowed for {fs_type}: {reason}")]
    NotAllowed {
        /// The option.
        option: String,
        /// The file system type.
        fs_type: String,
        /// Why.
        reason: &'static str,
    },
    /// The value does not fit.
    #[error("mount option {option:?} needs {wanted}")]
    Value {
        /// The option.
        option: String,
        /// What would do.
        wanted: String,
    },
    /// A character that no option may hold.
    #[error("mount option {option:?} holds a comma, a control character or a character that is not ASCII")]
    Character {
        /// The option, escaped.
        option: String,
    },
    /// Too many or too long.
    #[error("at most {MAX_OPTIONS} mount options of at most {MAX_BYTES} bytes each are taken")]
    TooMany,
    /// Two options that exclude each other.
    #[error("mount options {first:?} and {second:?} contradict each other")]
    Conflict {
        /// The earlier.
        first: String,
        /// The later.
        second: String,
    },
}

/// Access time policy of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Atime {
    Relative,
    None,
    Strict,
}

/// Checked options of one mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountOptions {
    fs_type: String,
    nosuid: bool,
    nodev: bool,
    noexec: bool,
    nodiratime: bool,
    atime: Atime,
    parameters: Vec<(String, Option<String>)>,
}

impl MountOptions {
    /// Checks `words` (each one option, `key` or `key=value`) against the list of `fs_type`.
    pub fn parse<S: AsRef<str>>(
        fs_type: &str,
        words: &[S],
        defaults: OptionDefaults,
    ) -> Result<Self, OptionError> {
        let allowed = table::of(fs_type).ok_or_else(|| OptionError::UnknownType(escaped(fs_type)))?;
        if words.len() > MAX_OPTIONS {
            return Err(OptionError::TooMany);
        }
        let mut options = Self {
            fs_type: fs_type.to_owned(),
            nosuid: defaults.nosuid,
            nodev: defaults.nodev,
            noexec: false,
            nodiratime: false,
            atime: Atime::Relative,
            parameters: Vec::new(),
        };
        for word in words {
            let word = word.as_ref();
            check_characters(word)?;
            if !options.take_attribute(word) {
                let parameter = check_parameter(fs_type, word, allowed)?;
                options.add(parameter)?;
            }
        }
        Ok(options)
    }

    /// The options that hold when the user gives none.
    pub fn defaults(fs_type: &str) -> Result<Self, OptionError> {
        Self::parse::<&str>(fs_type, &[], OptionDefaults::default())
    }

    /// The file system type that these are for.
    pub fn fs_type(&self) -> &str {
        &self.fs_type
    }

    fn take_attribute(&mut self, word: &str) -> bool {
        match word {
            "nosuid" => self.nosuid = true,
            "suid" => self.nosuid = false,
            "nodev" => self.nodev = true,
            "dev" => self.nodev = false,
            "noexec" => self.noexec = true,
            "exec" => self.noexec = false,
            "noatime" => self.atime = Atime::None,
            "relatime" => self.atime = Atime::Relative,
            "strictatime" | "atime" => self.atime = Atime::Strict,
            "nodiratime" => self.nodiratime = true,
            "diratime" => self.nodiratime = false,
            "defaults" => {}
            _ => return false,
        }
        true
    }

    fn add(&mut self, parameter: (String, Option<String>)) -> Result<(), OptionError> {
        let base = |name: &str| name.strip_prefix("no").unwrap_or(name).to_owned();
        let clash = self.parameters.iter().find(|p| base(&p.0) == base(&parameter.0));
        match clash {
            Some(earlier) if *earlier == parameter => Ok(()),
            Some(earlier) => Err(OptionError::Conflict {
                first: text(earlier),
                second: text(&parameter),
            }),
            None => {
                self.parameters.push(parameter);
                Ok(())
            }
        }
    }

    /// What fsconfig is given, besides the source.
    ///
    /// Read-only also leaves the journal alone: even a read-only mount would replay it, which writes.
    pub(crate) fn parameters(&self, read_only: bool) -> Vec<(String, Option<String>)> {
        let mut parameters = Vec::new();
        if read_only {
            parameters.push(("ro".to_owned(), None));
            match self.fs_type.as_str() {
                "ext4" => parameters.push(("noload".to_owned(), None)),
                "xfs" => parameters.push(("norecovery".to_owned(), None)),
                // `nologreplay` alone is refused from Linux 6.8 on; rescue= is there from 5.9 on.
                "btrfs" => parameters.push(("rescue".to_owned(), Some("nologreplay".to_owned()))),
                _ => {}
            }
        }
        let no_journal = read_only && self.fs_type == "ext4";
        // ext4 refuses data=… and commit=… beside noload; without the journal they mean nothing.
        let skipped = |name: &str| no_journal && matches!(name, "data" | "commit" | "journal_checksum");
        parameters.extend(self.parameters.iter().filter(|p| !skipped(&p.0)).cloned());
        parameters
    }

    /// Attributes of the mount (not of the super block), for fsmount and mount_setattr.
    pub(crate) fn attributes(&self, read_only: bool) -> MountAttrFlags {
        let mut flags = match self.atime {
            Atime::Relative => MountAttrFlags::MOUNT_ATTR_RELATIME,
            Atime::None => MountAttrFlags::MOUNT_ATTR_NOATIME,
            Atime::Strict => MountAttrFlags::MOUNT_ATTR_STRICTATIME,
        };
        flags.set(MountAttrFlags::MOUNT_ATTR_RDONLY, read_only);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOSUID, self.nosuid);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODEV, self.nodev);
        flags.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, self.noexec);
        flags.set(MountAttrFlags::MOUNT_ATTR_NODIRATIME, self.nodiratime);
        flags
    }
}

/// The flags of mount(2) that a mount's options in mountinfo stand for, so that a remount keeps them.
pub(crate) fn mount_flags(options: &[std::ffi::OsString]) -> MountFlags {
    let mut flags = MountFlags::empty();
    for option in options {
        flags |= match option.to_str() {
            Some("nosuid") => MountFlags::NOSUID,
            Some("nodev") => MountFlags::NODEV,
            Some("noexec") => MountFlags::NOEXEC,
            Some("noatime") => MountFlags::NOATIME,
            Some("nodiratime") => MountFlags::NODIRATIME,
            Some("relatime") => MountFlags::RELATIME,
            _ => MountFlags::empty(),
        };
    }
    flags
}

fn check_characters(word: &str) -> Result<(), OptionError> {
    if word.len() > MAX_BYTES {
        return Err(OptionError::TooMany);
    }
    let fine = |c: char| c.is_ascii_graphic() && !matches!(c, ',' | '\\' | '"' | '\'' | '#');
    if word.is_empty() || !word.chars().all(fine) {
        return Err(OptionError::Character {
            option: escaped(word),
        });
    }
    Ok(())
}

fn check_parameter(
    fs_type: &str,
    word: &str,
    allowed: &[table::Allowed],
) -> Result<(String, Option<String>), OptionError> {
    let (name, value) = match word.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let Some(entry) = table::COMMON.iter().chain(allowed).find(|a| a.name == name) else {
        let reason = table::why_refused(name).unwrap_or("it is not on the list of allowed options");
        return Err(OptionError::NotAllowed {
            option: word.to_owned(),
            fs_type: fs_type.to_owned(),
            reason,
        });
    };
    if accepts(entry.value, value) {
        Ok((name.to_owned(), value.map(str::to_owned)))
    } else {
        Err(OptionError::Value {
            option: word.to_owned(),
            wanted: describe(entry.value),
        })
    }
}

fn accepts(rule: Value, value: Option<&str>) -> bool {
    let number = |t: &str| {
        let digits = !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        if digits { t.parse::<u64>().ok() } else { None }
    };
    match (rule, value) {
        (Value::Flag | Value::Compression(_), None) => true,
        (Value::Number(max), Some(text)) => number(text).is_some_and(|n| n <= max),
        (Value::Size, Some(text)) => {
            let digits = text.strip_suffix(['k', 'K', 'm', 'M', 'g', 'G']).unwrap_or(text);
            number(digits).is_some_and(|n| n <= 1 << 40)
        }
        (Value::OneOf(words), Some(text)) => words.contains(&text),
        (Value::Compression(words), Some(text)) => {
            let (word, level) = text.split_once(':').map_or((text, None), |(w, l)| (w, Some(l)));
            words.contains(&word) && level.is_none_or(|l| l.len() <= 2 && number(l).is_some())
        }
        (Value::Subvolume, Some(text)) => !text.is_empty() && !text.split('/').any(|part| part == ".."),
        _ => false,
    }
}

fn describe(rule: Value) -> String {
    match rule {
        Value::Flag => "no value".to_owned(),
        Value::Number(max) => format!("a number from 0 to {max}"),
        Value::Size => "a size such as 64k or 1m".to_owned(),
        Value::OneOf(words) => format!("one of {}", words.join(", ")),
        Value::Compression(words) => {
            format!("no value or one of {}, with an optional :level", words.join(", "))
        }
        Value::Subvolume => "a path inside the file system, without ..".to_owned(),
    }
}

fn text((name, value): &(String, Option<String>)) -> String {
    value
        .as_ref()
        .map_or_else(|| name.clone(), |v| format!("{name}={v}"))
}

fn escaped(text: &str) -> String {
    text.chars()
        .take(80)
        .collect::<String>()
        .escape_default()
        .to_string()
}

#[cfg(test)]
mod tests;

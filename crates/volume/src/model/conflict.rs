//! What differs between a volume in use and a new request for it, by field.

use super::recorded::{RecordedSource, RecordedSpec};
use serde::Serialize;
use std::collections::BTreeSet;
use std::fmt;

/// One field in which a request differs from the volume in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldDifference {
    /// The field's name, as Kubernetes spells it.
    pub field: &'static str,
    /// What is in use.
    pub in_use: String,
    /// What was asked for.
    pub asked: String,
}

impl fmt::Display for FieldDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} is {} and was asked for as {}",
            self.field, self.in_use, self.asked
        )
    }
}

/// The fields that two uses of one LUN cannot differ in, because the LUN is attached and mounted once.
///
/// A read-only request for what is in use read-write is no conflict: it gets a read-only view. The format policy is
/// none either: it says something about the first use only. The file system and the expected identities differ only
/// where both sides name one.
pub(crate) fn differences(in_use: &RecordedSpec, asked: &RecordedSpec) -> Vec<FieldDifference> {
    let mut found = Differences(Vec::new());
    found.sources(&in_use.source, &asked.source);
    if let (Some(a), Some(b)) = (in_use.fs_type, asked.fs_type) {
        found.compare("fsType", a.as_str(), b.as_str());
    }
    if in_use.access.is_read_only() && !asked.access.is_read_only() {
        found.add("readOnly", "true", "false");
    }
    let options = |spec: &RecordedSpec| {
        let set: BTreeSet<&str> = spec.mount_options.iter().map(String::as_str).collect();
        set.into_iter().collect::<Vec<_>>().join(",")
    };
    found.compare("mountOptions", &options(in_use), &options(asked));
    if let (Some(a), Some(b)) = (&in_use.wwid, &asked.wwid) {
        found.compare("wwid", a, b);
    }
    if let (Some(a), Some(b)) = (&in_use.fs_uuid, &asked.fs_uuid) {
        found.compare("fsUuid", a, b);
    }
    if in_use.data_path != asked.data_path {
        found.add(
            "dataPath",
            &format!("{:?}", in_use.data_path),
            &format!("{:?}", asked.data_path),
        );
    }
    found.0
}

struct Differences(Vec<FieldDifference>);

impl Differences {
    fn add(&mut self, field: &'static str, in_use: &str, asked: &str) {
        let shown = |text: &str| {
            if text.is_empty() {
                "(none)".to_owned()
            } else {
                text.to_owned()
            }
        };
        self.0.push(FieldDifference {
            field,
            in_use: shown(in_use),
            asked: shown(asked),
        });
    }

    fn compare(&mut self, field: &'static str, in_use: &str, asked: &str) {
        if in_use != asked {
            self.add(field, in_use, asked);
        }
    }

    fn sources(&mut self, in_use: &RecordedSource, asked: &RecordedSource) {
        let RecordedSource::Iscsi {
            iqn,
            lun,
            iscsi_interface,
            initiator_name,
            chap_user,
            chap_user_in,
            ..
        } = in_use;
        let RecordedSource::Iscsi {
            iqn: iqn_b,
            lun: lun_b,
            iscsi_interface: interface_b,
            initiator_name: initiator_b,
            chap_user: user_b,
            chap_user_in: user_in_b,
            ..
        } = asked;
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        self.compare("iqn", &iqn.to_lowercase(), &iqn_b.to_lowercase());
        self.compare("lun", &lun.to_string(), &lun_b.to_string());
        self.compare("targetPortal and portals", &portals(in_use), &portals(asked));
        let interface = |value: &Option<String>| value.clone().filter(|name| name != "default");
        self.compare(
            "iscsiInterface",
            &text(&interface(iscsi_interface)),
            &text(&interface(interface_b)),
        );
        self.compare(
            "initiatorName",
            &text(initiator_name).to_lowercase(),
            &text(initiator_b).to_lowercase(),
        );
        self.compare("chapAuthSession user", &text(chap_user), &text(user_b));
        self.compare("chapAuthSession user_in", &text(chap_user_in), &text(user_in_b));
    }
}

/// All portals of a source in one order, with the default port written out.
fn portals(source: &RecordedSource) -> String {
    let RecordedSource::Iscsi {
        target_portal,
        portals,
        ..
    } = source;
    let all: BTreeSet<String> = std::iter::once(target_portal)
        .chain(portals)
        .map(|text| {
            let text = text.to_lowercase();
            let has_port = match text.rsplit_once(':') {
                Some((host, _)) => host.ends_with(']') || !host.contains(':'),
                None => false,
            };
            let bare = text.contains(':') && !text.starts_with('[');
            match (has_port, bare) {
                (true, _) => text,
                (false, true) => format!("[{text}]:3260"),
                (false, false) => format!("{text}:3260"),
            }
        })
        .collect();
    all.into_iter().collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::super::{Access, FsType, IscsiVolume, Source, VolumeSpec};
    use super::*;

    fn spec(change: impl FnOnce(&mut VolumeSpec)) -> RecordedSpec {
        let mut spec = VolumeSpec::new(Source::Iscsi(IscsiVolume::new(
            "nas",
            "iqn.2003-01.org.example:a",
            0,
        )));
        change(&mut spec);
        RecordedSpec::from(&spec)
    }

    fn fields(in_use: &RecordedSpec, asked: &RecordedSpec) -> Vec<&'static str> {
        differences(in_use, asked).into_iter().map(|d| d.field).collect()
    }

    #[test]
    fn names_each_field_that_differs() {
        let a = spec(|s| s.fs_type = Some(FsType::Ext4));
        let b = spec(|s| {
            s.fs_type = Some(FsType::Xfs);
            s.mount_options = vec!["noatime".into()];
            let Source::Iscsi(iscsi) = &mut s.source;
            iscsi.portals = vec!["nas2".into()];
        });
        assert_eq!(
            fields(&a, &b),
            ["targetPortal and portals", "fsType", "mountOptions"]
        );
        assert_eq!(fields(&a, &a), Vec::<&str>::new());
    }

    #[test]
    fn a_read_only_view_of_a_read_write_use_is_no_conflict_the_reverse_is() {
        let writer = spec(|_| ());
        let reader = spec(|s| s.access = Access::ReadOnly);
        assert_eq!(fields(&writer, &reader), Vec::<&str>::new());
        assert_eq!(fields(&reader, &writer), ["readOnly"]);
    }

    /// Part of the proof of F22.
    #[test]
    fn the_same_portals_in_other_words_are_no_conflict() {
        let portals = |first: &str, more: &[&str]| {
            spec(|s| {
                let Source::Iscsi(iscsi) = &mut s.source;
                iscsi.target_portal = first.into();
                iscsi.portals = more.iter().map(|t| (*t).to_owned()).collect();
            })
        };
        let a = portals("NAS:3260", &["[2001:db8::1]:3260"]);
        let b = portals("2001:db8::1", &["nas", "nas"]);
        assert_eq!(fields(&a, &b), Vec::<&str>::new());
        assert_eq!(
            fields(&a, &portals("nas:3261", &["2001:db8::1"])),
            ["targetPortal and portals"]
        );
    }
}

//! What Kubernetes' fields cannot say, as annotations of the Pod: `longshore.storage/…`.
//!
//! | annotation | value |
//! |---|---|
//! | `longshore.storage/format` | `never` (default) or `ifBlank`, for all iSCSI volumes of the Pod |
//! | `longshore.storage/format.VOLUME` | the same for one volume |
//! | `longshore.storage/wwid.VOLUME` | the WWID that the LUN must have, as `longshore show` prints it |
//! | `longshore.storage/mount-options.VOLUME` | mount options, comma-separated |

use std::collections::HashMap;

use super::metadata::Metadata;
use super::pod::{IscsiVolumeEntry, VolumeName};
use crate::yaml::fields::{similar, text};
use crate::yaml::problem::Problems;

/// The prefix of our annotations.
const PREFIX: &str = "longshore.storage/";
const KNOWN: [&str; 3] = ["format", "wwid", "mount-options"];
/// The longest WWID or list of mount options.
const MAX_VALUE_BYTES: usize = 1024;

/// What the annotations say of one volume.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Annotations {
    /// A blank device may be formatted.
    pub(crate) format_if_blank: bool,
    /// The WWID that the LUN must have.
    pub(crate) wwid: Option<String>,
    /// Mount options, checked against the allow-list later.
    pub(crate) mount_options: Vec<String>,
}

/// Reads our annotations into `volumes`.
pub(crate) fn read(
    metadata: &Metadata<'_>,
    names: &HashMap<String, VolumeName>,
    volumes: &mut [IscsiVolumeEntry],
    problems: &mut Problems,
) {
    let Some(annotations) = &metadata.annotations else {
        return;
    };
    let ours = annotations
        .entries()
        .iter()
        .filter_map(|entry| Some((entry, entry.key.strip_prefix(PREFIX)?)));
    // The Pod's own value first: a volume's own value wins over it.
    let (of_pod, of_volume): (Vec<_>, Vec<_>) = ours.partition(|(_, key)| !key.contains('.'));
    for (entry, key) in of_pod.into_iter().chain(of_volume) {
        let path = annotations.path_of(&entry.key);
        let (setting, volume) = match key.split_once('.') {
            Some((setting, volume)) => (setting, Some(volume)),
            None => (key, None),
        };
        if !KNOWN.contains(&setting) {
            let hint = similar(setting, &KNOWN).unwrap_or("format");
            problems.error_with(
                entry.key_at,
                &path,
                "unknown annotation of Longshore",
                format!("did you mean `{PREFIX}{hint}`?"),
            );
            continue;
        }
        let is_ours = |volume: &str| names.get(volume).is_some_and(|name| name.kind == "iscsi");
        if let Some(volume) = volume.filter(|volume| !is_ours(volume)) {
            let known: Vec<&str> = volumes.iter().map(|volume| volume.name.as_str()).collect();
            let problem = format!("no iscsi volume of this Pod is named {volume:?}");
            match similar(volume, &known) {
                Some(meant) => {
                    problems.error_with(entry.key_at, &path, problem, format!("did you mean {meant:?}?"))
                }
                None => problems.error(entry.key_at, &path, problem),
            }
            continue;
        }
        let Some(value) = text(&entry.value, &path, problems) else {
            continue;
        };
        let mut matching = volumes
            .iter_mut()
            .filter(|entry| volume.is_none_or(|name| entry.name == name));
        let outcome =
            matching.try_for_each(|entry| apply(setting, volume.is_some(), value, &mut entry.annotations));
        if let Err(problem) = outcome {
            problems.error(entry.value.at, &path, problem);
        }
    }
}

fn apply(setting: &str, one_volume: bool, value: &str, into: &mut Annotations) -> Result<(), String> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(format!("longer than {MAX_VALUE_BYTES} bytes"));
    }
    match setting {
        "format" => {
            into.format_if_blank = match value {
                "never" => false,
                "ifBlank" => true,
                _ => return Err(format!("{value:?} is neither `never` nor `ifBlank`")),
            }
        }
        "wwid" if !one_volume => {
            return Err("a WWID belongs to one volume: write `longshore.storage/wwid.VOLUME`".to_owned());
        }
        "wwid" if value.is_empty() => return Err("the WWID is empty".to_owned()),
        "wwid" => into.wwid = Some(value.to_owned()),
        _ => {
            into.mount_options = value
                .split(',')
                .map(str::trim)
                .filter(|o| !o.is_empty())
                .map(str::to_owned)
                .collect();
        }
    }
    Ok(())
}

//! Which volume a word on the command line means: an id, its unique beginning, a directory, a device, a URL.

use std::path::Path;

use longshore_volume::engine::VolumeView;
use longshore_volume::{LunKey, VolumeId};

use crate::exit::{CliError, ExitCode};
use crate::url::IscsiUrl;

/// Finds the volume that `word` means among those that are in use; an id or a URL may also name one that is not.
///
/// # Errors
/// None, or more than one.
pub(crate) fn volume(word: &str, views: &[VolumeView]) -> Result<VolumeId, CliError> {
    if word.starts_with("iscsi://") {
        return by_url(word, views);
    }
    if word.contains('/') || word == "." {
        return by_path(Path::new(word), views);
    }
    if let Some(exact) = views.iter().find(|view| view.id.as_str() == word) {
        return Ok(exact.id.clone());
    }
    let matching: Vec<&VolumeId> = views
        .iter()
        .map(|view| &view.id)
        .filter(|id| id.as_str().starts_with(word) && !word.is_empty())
        .collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => word.parse::<VolumeId>().map_err(|error| {
            CliError::new(ExitCode::Usage, error)
                .help("give an id, its beginning, a directory or an iscsi:// URL")
        }),
        many => Err(ambiguous(word, many.iter().map(|id| id.as_str()))),
    }
}

fn by_url(word: &str, views: &[VolumeView]) -> Result<VolumeId, CliError> {
    let url: IscsiUrl = word
        .parse()
        .map_err(|error: String| CliError::new(ExitCode::Usage, error))?;
    let lun = LunKey::iscsi(url.iqn.as_ref(), url.lun);
    let matching: Vec<&VolumeId> = views
        .iter()
        .filter(|view| view.lun == lun)
        .map(|view| &view.id)
        .collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Ok(VolumeId::from(lun)),
        many => Err(ambiguous(&url.to_string(), many.iter().map(|id| id.as_str()))),
    }
}

fn by_path(path: &Path, views: &[VolumeView]) -> Result<VolumeId, CliError> {
    let absolute = std::path::absolute(path).map_err(|error| CliError::io("find", path, &error))?;
    // A directory may be reached through a link; the journal has its real place. Asking a dead mount could hang, so
    // only its parent is resolved.
    let real = match (absolute.parent().map(Path::canonicalize), absolute.file_name()) {
        (Some(Ok(parent)), Some(name)) => parent.join(name),
        _ => absolute.clone(),
    };
    let is_at = |view: &&VolumeView| {
        let at = |candidate: &Path| candidate == real || candidate == absolute;
        view.publications
            .iter()
            .any(|publication| at(&publication.target))
            || view.device.as_ref().is_some_and(|device| at(&device.path))
            || view.link.as_deref().is_some_and(at)
            || view.staging.as_ref().is_some_and(|staging| at(&staging.path))
    };
    views
        .iter()
        .find(is_at)
        .map(|view| view.id.clone())
        .ok_or_else(|| {
            CliError::new(
                ExitCode::NotFound,
                format!("no volume of this node is at {}", absolute.display()),
            )
            .help("`longshore ls` shows where volumes are")
        })
}

fn ambiguous<'a>(word: &str, ids: impl Iterator<Item = &'a str>) -> CliError {
    let ids: Vec<&str> = ids.collect();
    CliError::new(
        ExitCode::Usage,
        format!("{word:?} means more than one volume: {}", ids.join(", ")),
    )
    .help("write the id in full")
}

//! `--config`: the server as a YAML file, with several targets and accounts. Secrets stand in files of their own.
//!
//! ```yaml
//! portals: ["0.0.0.0:3260"]
//! targets:
//! - name: iqn.2003-01.org.example:disks
//!   luns:
//!   - {number: 0, path: /srv/disk0.img, size: 10G}
//!   - {number: 1, path: /srv/disk1.img, readOnly: true}
//!   chap:
//!   - {user: node-1, secretFile: /etc/longshore/node-1.secret}
//!   mutualChap: {user: array, secretFile: /etc/longshore/array.secret}
//!   initiators: [iqn.2003-01.org.example:node-1]
//! discoveryChap:
//! - {user: node-1, secretFile: /etc/longshore/node-1.secret}
//! ```

use std::path::{Path, PathBuf};

use longshore_target::{ChapConfig, LunConfig, ServerConfig, TargetConfig};

use crate::chap;
use crate::exit::CliError;
use crate::yaml::fields::{Object, text};
use crate::yaml::problem::Problems;
use crate::yaml::tree::{self, Position};
use crate::yaml::{display, read_file};

use super::lun::parse_size;

/// Reads the file; warnings (of secrets that others may read) go to `warn`.
///
/// # Errors
/// Everything that is wrong in it, each with its place.
pub(super) fn load(file: &Path, warn: &mut dyn FnMut(&str)) -> Result<ServerConfig, CliError> {
    let mut problems = Problems::new(display(file));
    let start = Position { line: 1, column: 1 };
    let mut config = ServerConfig::default();
    let parsed = read_file(file)
        .map_err(|problem| (start, problem))
        .and_then(|text| tree::parse(&text).map_err(|error| (error.at, error.problem)));
    match parsed.as_deref() {
        Err((at, problem)) => problems.error(*at, "", problem.clone()),
        Ok([document]) => {
            if let Some(object) = Object::of(document, "", &mut problems) {
                read(&object, &mut config, warn, &mut problems);
            }
        }
        Ok(_) => problems.error(start, "", "the file must hold one document"),
    }
    let (errors, warnings) = problems.into_parts();
    warnings.iter().for_each(|warning| warn(&warning.to_string()));
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(CliError::manifest(errors))
    }
}

fn read(object: &Object<'_>, config: &mut ServerConfig, warn: &mut dyn FnMut(&str), problems: &mut Problems) {
    object.refuse_unknown(&["portals", "targets", "discoveryChap"], problems);
    for (node, path) in object.list("portals", problems) {
        let Some(written) = text(node, &path, problems) else {
            continue;
        };
        match written.parse() {
            Ok(address) => config.portals.push(address),
            Err(_) => problems.error(
                node.at,
                &path,
                "not an address with a port, such as 127.0.0.1:3260 or [::]:3260",
            ),
        }
    }
    for (node, path) in object.list("targets", problems) {
        if let Some(target) = Object::of(node, &path, problems) {
            config.targets.extend(read_target(&target, warn, problems));
        }
    }
    config.discovery_chap = accounts(object, "discoveryChap", warn, problems);
}

fn read_target(
    object: &Object<'_>,
    warn: &mut dyn FnMut(&str),
    problems: &mut Problems,
) -> Option<TargetConfig> {
    object.refuse_unknown(
        &["name", "alias", "luns", "chap", "mutualChap", "initiators"],
        problems,
    );
    let mut target = TargetConfig::new(object.required_text("name", problems)?);
    target.alias = object.text("alias", problems).map(str::to_owned);
    for (node, path) in object.list("luns", problems) {
        if let Some(lun) = Object::of(node, &path, problems) {
            target.luns.extend(read_lun(&lun, problems));
        }
    }
    target.chap = accounts(object, "chap", warn, problems);
    if let Some(own) = object.object("mutualChap", problems) {
        target.mutual_chap = account(&own, warn, problems);
    }
    for (node, path) in object.list("initiators", problems) {
        target
            .initiators
            .extend(text(node, &path, problems).map(str::to_owned));
    }
    Some(target)
}

fn read_lun(object: &Object<'_>, problems: &mut Problems) -> Option<LunConfig> {
    object.refuse_unknown(
        &["number", "path", "size", "readOnly", "blockSize", "wwid"],
        problems,
    );
    let number = object.required_number("number", 0, 16383, problems);
    let path = object.required_text("path", problems).map(PathBuf::from);
    let mut lun = LunConfig::new(u16::try_from(number?).ok()?, path?);
    if let Some(size) = object.text("size", problems) {
        match parse_size(size) {
            Ok(bytes) => lun.size_bytes = Some(bytes),
            Err(problem) => problems.error(object.place("size"), &object.path_of("size"), problem),
        }
    }
    lun.read_only = object.boolean("readOnly", problems);
    if object.get("blockSize").is_some() {
        let bytes = object.required_number("blockSize", 512, 4096, problems)?;
        lun.block_size_bytes = u32::try_from(bytes).ok()?;
    }
    lun.wwid = object.text("wwid", problems).map(str::to_owned);
    Some(lun)
}

fn accounts(
    object: &Object<'_>,
    key: &str,
    warn: &mut dyn FnMut(&str),
    problems: &mut Problems,
) -> Vec<ChapConfig> {
    let mut all = Vec::new();
    for (node, path) in object.list(key, problems) {
        if let Some(entry) = Object::of(node, &path, problems) {
            all.extend(account(&entry, warn, problems));
        }
    }
    all
}

fn account(object: &Object<'_>, warn: &mut dyn FnMut(&str), problems: &mut Problems) -> Option<ChapConfig> {
    object.refuse_unknown(&["user", "secretFile", "initiator"], problems);
    let name = object.required_text("user", problems)?.to_owned();
    let file = object.required_text("secretFile", problems)?;
    let initiator = object.text("initiator", problems).map(str::to_owned);
    match chap::read_secret(Some(Path::new(file)), None, warn) {
        Ok(secret) => Some(ChapConfig {
            name,
            secret: secret?,
            initiator,
        }),
        Err(error) => {
            problems.error(
                object.place("secretFile"),
                &object.path_of("secretFile"),
                error.message,
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn load_text(text: &str) -> Result<ServerConfig, CliError> {
        let dir = tempfile::tempdir().expect("directory");
        std::fs::write(dir.path().join("secret"), "correct horse\n").expect("written");
        let text = text.replace("SECRET", &dir.path().join("secret").display().to_string());
        let file = dir.path().join("target.yaml");
        std::fs::write(&file, text).expect("written");
        load(&file, &mut |_| {})
    }

    const GOOD: &str = "portals: ['127.0.0.1:0', '[::1]:3260']
targets:
- name: iqn.2003-01.org.example:disks
  luns:
  - {number: 0, path: /srv/0.img, size: 1G}
  - {number: 1, path: /srv/1.img, readOnly: true, blockSize: 4096}
  chap:
  - {user: node, secretFile: SECRET}
";

    #[test]
    fn a_whole_server() {
        let config = load_text(GOOD).expect("valid");
        assert_eq!(config.portals.len(), 2);
        let target = &config.targets[0];
        assert_eq!(target.luns[0].size_bytes, Some(1 << 30));
        assert!(target.luns[1].read_only && target.luns[1].block_size_bytes == 4096);
        assert_eq!(target.chap[0].secret.expose_secret(), "correct horse");
    }

    #[test]
    fn mistakes_are_named_with_line_and_field() {
        for (old, new, place) in [
            ("size: 1G", "size: big", ":5:41: targets[0].luns[0].size: "),
            ("'[::1]:3260'", "nas", ":1:26: portals[1]: "),
            (
                "secretFile: SECRET",
                "secret: hunter2",
                ":8:18: targets[0].chap[0].secret: unknown field",
            ),
            (
                "secretFile: SECRET",
                "secretFile: /absent",
                ":8:30: targets[0].chap[0].secretFile: cannot read",
            ),
            ("number: 0", "number: 20000", ":5:14: targets[0].luns[0].number: "),
            (
                "luns:",
                "lun:",
                ":4:3: targets[0].lun: unknown field (did you mean `luns`?)",
            ),
        ] {
            let error = load_text(&GOOD.replacen(old, new, 1)).expect_err(new);
            let all: String = std::iter::once(error.message.clone())
                .chain(error.problems.iter().map(ToString::to_string))
                .collect();
            assert!(all.contains(place), "{new}: {all}");
            assert!(!all.contains("hunter2"), "{all}");
        }
    }
}

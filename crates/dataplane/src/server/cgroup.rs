//! Moves the data plane and `hold` out of the cgroup of whoever started them: its memory limit would stop the I/O
//! that has to go on for the limit to be kept, and its end would end them.

use std::path::{Path, PathBuf};

use crate::proto::Fact;

const NAME: &str = "longshore";

/// Moves both processes into a cgroup of their own beneath each hierarchy's root.
pub(super) fn leave() -> Fact {
    let name = "cgroup".to_owned();
    let places = match places() {
        Ok(places) => places,
        Err(error) => {
            return Fact {
                name,
                ok: false,
                detail: format!("cannot find the cgroup: {error}"),
            };
        }
    };
    let mut failed = Vec::new();
    for place in places
        .iter()
        .filter(|place| place.path != "/" && !place.path.starts_with("/longshore"))
    {
        if let Err(error) = enter(&place.mount.join(NAME)) {
            failed.push(format!("{}{}: {error}", place.mount.display(), place.path));
        }
    }
    if failed.is_empty() {
        let detail = "in no cgroup of whoever started it (as far as its cgroup namespace shows)".to_owned();
        return Fact {
            name,
            ok: true,
            detail,
        };
    }
    let detail = format!(
        "still in the cgroup of whoever started it ({}): its memory limit and its end concern the data plane too",
        failed.join("; ")
    );
    Fact {
        name,
        ok: false,
        detail,
    }
}

/// Goes back to the roots, so that the directories can be removed when nobody is left in them.
pub(super) fn tidy() {
    for place in places()
        .unwrap_or_default()
        .iter()
        .filter(|place| place.path == format!("/{NAME}"))
    {
        let both = move_into(&place.mount);
        // Another data plane may be in it; the last one removes it.
        let removed = both.and_then(|()| std::fs::remove_dir(place.mount.join(NAME)));
        tracing::debug!(mount = %place.mount.display(), ?removed, "left the cgroup");
    }
}

fn enter(group: &Path) -> std::io::Result<()> {
    match std::fs::create_dir(group) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    move_into(group)
}

fn move_into(group: &Path) -> std::io::Result<()> {
    let list = group.join("cgroup.procs");
    std::fs::write(&list, std::process::id().to_string())?;
    match super::host::report(&[]).hold_pid {
        Some(hold) => std::fs::write(&list, hold.to_string()),
        None => Ok(()),
    }
}

/// Our place in a hierarchy that limits memory.
#[derive(Debug, PartialEq, Eq)]
struct Place {
    mount: PathBuf,
    path: String,
}

fn places() -> std::io::Result<Vec<Place>> {
    let groups = std::fs::read_to_string("/proc/self/cgroup")?;
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    Ok(find(&groups, &mounts))
}

/// Joins /proc/self/cgroup (`id:controllers:path`) with the mounts of cgroup file systems.
fn find(groups: &str, mounts: &str) -> Vec<Place> {
    let mount_of = |unified: bool| {
        mounts.lines().find_map(|line| {
            let (head, tail) = line.split_once(" - ")?;
            let mut tail = tail.split(' ');
            let (kind, _source, options) = (tail.next()?, tail.next()?, tail.next()?);
            let fits = match unified {
                true => kind == "cgroup2",
                false => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
            };
            fits.then(|| head.split(' ').nth(4)).flatten().map(PathBuf::from)
        })
    };
    let mut places = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let unified = id == "0" && controllers.is_empty();
        if !unified && !controllers.split(',').any(|controller| controller == "memory") {
            continue;
        }
        if let Some(mount) = mount_of(unified) {
            places.push(Place {
                mount,
                path: path.to_owned(),
            });
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_generations_of_cgroups_are_found() {
        let mounts = "30 25 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n\
                      31 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n\
                      32 25 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let groups = "5:memory:/user\n4:cpu:/user\n0::/user.slice\n";
        let found = find(groups, mounts);
        let place = |mount: &str, path: &str| Place {
            mount: mount.into(),
            path: path.into(),
        };
        assert_eq!(
            found,
            [
                place("/sys/fs/cgroup/memory", "/user"),
                place("/sys/fs/cgroup/unified", "/user.slice")
            ]
        );
        assert_eq!(find("0::/x\n", ""), []);
    }
}

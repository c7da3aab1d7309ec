//! What must hold.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use longshore_dataplane::DataplaneClient;
use longshore_dataplane::proto::{ErrorKind, Outcome};

use crate::load;
use crate::node::{IQN, Mounted, Node, is_bound, kill, resident_kib, run, soon, wait_for};

type Scenario = (&'static str, fn());

pub const ALL: [Scenario; 11] = [
    (
        "a_device_comes_is_found_again_and_goes",
        a_device_comes_is_found_again_and_goes,
    ),
    (
        "one_login_serves_all_units_and_the_last_one_logs_out_f5",
        one_login_serves_all_units_and_the_last_one_logs_out_f5,
    ),
    (
        "identical_attaches_at_once_make_one_device",
        identical_attaches_at_once_make_one_device,
    ),
    ("what_is_wrong_is_named", what_is_wrong_is_named),
    (
        "a_device_in_use_stays_and_its_holder_is_named",
        a_device_in_use_stays_and_its_holder_is_named,
    ),
    (
        "a_killed_data_plane_costs_a_pause_and_no_error",
        a_killed_data_plane_costs_a_pause_and_no_error,
    ),
    ("a_killed_hold_costs_nothing", a_killed_hold_costs_nothing),
    (
        "when_both_are_killed_io_fails_and_nothing_hangs",
        when_both_are_killed_io_fails_and_nothing_hangs,
    ),
    (
        "a_target_that_stops_answering_holds_nothing_up",
        a_target_that_stops_answering_holds_nothing_up,
    ),
    (
        "a_writer_at_its_memory_limit_does_not_hang_behind_us",
        a_writer_at_its_memory_limit_does_not_hang_behind_us,
    ),
    ("memory_at_rest_is_bounded", memory_at_rest_is_bounded),
];

fn a_device_comes_is_found_again_and_goes() {
    let node = Node::new(1, 64 << 20);
    let device = node.attach(0);
    assert_eq!(
        (device.outcome, device.size_bytes, device.block_size_bytes),
        (Outcome::Changed, 64 << 20, 512)
    );
    assert!(device.steps.len() >= 3 && !device.read_only);
    let again = node.attach(0);
    assert_eq!(
        (again.outcome, &again.device),
        (Outcome::AlreadySo, &device.device)
    );
    let mut client = node.client();
    let list = client.list(soon()).unwrap();
    assert!(
        list.len() == 1 && list[0].device.key == device.key && list[0].conditions.is_empty(),
        "{list:?}"
    );
    assert_eq!(
        client.verify(&device.key, soon()).unwrap().device.wwid,
        device.wwid
    );
    assert!(
        client
            .host(soon())
            .unwrap()
            .facts
            .iter()
            .any(|fact| fact.name == "mlockall")
    );

    node.target.target(IQN).unwrap().resize_lun(0, 96 << 20).unwrap();
    assert_eq!(
        client.rescan(&device.key, soon()).unwrap().device.size_bytes,
        96 << 20
    );

    assert_eq!(
        client.detach(&device.key, false, soon()).unwrap(),
        Outcome::Changed
    );
    assert_eq!(
        client.detach(&device.key, false, soon()).unwrap(),
        Outcome::AlreadySo
    );
    assert!(!is_bound(device.minor));
    drop(client);
    node.expect_end();
    assert!(!node.dirs.socket().exists());
    assert!(
        DataplaneClient::connect_existing(&node.dirs, soon())
            .unwrap()
            .is_none()
    );
}

fn one_login_serves_all_units_and_the_last_one_logs_out_f5() {
    let node = Node::new(3, 8 << 20);
    let devices: Vec<_> = (0..3).map(|lun| node.attach(lun)).collect();
    let target = node.target.target(IQN).unwrap();
    assert_eq!(target.sessions().len(), 1);
    node.detach(&devices[0].key);
    node.detach(&devices[1].key);
    assert_eq!(
        target.sessions().len(),
        1,
        "the session of a unit in use was logged out"
    );
    std::fs::read(&devices[2].device).unwrap();
    node.detach(&devices[2].key);
    wait_for("the logout", || target.sessions().is_empty().then_some(()));
    node.expect_end();
}

fn identical_attaches_at_once_make_one_device() {
    let node = Node::new(1, 8 << 20);
    let devices: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| node.attach(0))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let paths: BTreeSet<_> = devices.iter().map(|device| &device.device).collect();
    let changed = devices
        .iter()
        .filter(|device| device.outcome == Outcome::Changed)
        .count();
    assert_eq!((paths.len(), changed), (1, 1));
    assert_eq!(
        (node.processes("dataplane").len(), node.processes("hold").len()),
        (1, 1)
    );
    node.detach(&devices[0].key);
    node.expect_end();
}

fn what_is_wrong_is_named() {
    let node = Node::new(1, 8 << 20);
    let _stay = node.client();
    let kind = |change: &dyn Fn(&mut longshore_dataplane::proto::AttachRequest)| {
        let mut request = node.request(0);
        change(&mut request);
        let error = node.try_attach(&request).unwrap_err();
        (error.kind(), error.to_string())
    };
    let (lun, text) = kind(&|request| request.source.lun = 9);
    assert!(lun == ErrorKind::LunNotFound && text.contains('9'), "{text}");
    assert_eq!(
        kind(&|request| request.source.iqn = "iqn.2026-11.example:none".into()).0,
        ErrorKind::TargetNotFound
    );
    assert_eq!(
        kind(&|request| request.source.iqn = "nonsense".into()).0,
        ErrorKind::InvalidRequest
    );
    assert_eq!(
        kind(&|request| request.source.portals = vec!["127.0.0.1:1".into()]).0,
        ErrorKind::Unreachable
    );
    let (wwid, text) =
        kind(&|request| request.expect_wwid = Some("naa.60000000000000000000000000000001".into()));
    assert!(
        wwid == ErrorKind::WwidMismatch && text.contains("another disk"),
        "{text}"
    );
    assert!(
        node.target.target(IQN).unwrap().sessions().is_empty(),
        "a failed attach left its session"
    );
}

fn a_device_in_use_stays_and_its_holder_is_named() {
    let node = Node::new(1, 64 << 20);
    let device = node.attach(0);
    run("mkfs.ext4", &["-q", "-F", device.device.to_str().unwrap()]);
    let mounted = Mounted::new(&device, "ext4");
    let error = node.client().detach(&device.key, true, soon()).unwrap_err();
    let place = mounted.0.path().to_str().unwrap();
    assert!(
        error.kind() == ErrorKind::Busy && error.to_string().contains(place),
        "{error}"
    );
    std::fs::write(mounted.0.path().join("still"), "works").unwrap();
    drop(mounted);
    node.detach(&device.key);
    node.expect_end();
}

/// Runs the load on a file of an ext4 while `disturb` does its worst, and checks the file system.
fn under_load(node: &Node, disturb: impl FnOnce()) -> load::Report {
    let device = node.attach(0);
    let path = device.device.to_str().unwrap().to_owned();
    run("mkfs.ext4", &["-q", "-F", &path]);
    let mounted = Mounted::new(&device, "ext4");
    let file = mounted.0.path().join("data");
    std::fs::File::create(&file).unwrap().set_len(8 << 20).unwrap();
    let stop = AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        let load = scope.spawn(|| load::run(&file, 8, &stop));
        let disturbed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(disturb));
        stop.store(true, Ordering::Relaxed);
        let patience = soon();
        while !load.is_finished() && disturbed.is_ok() && Instant::now() < patience {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !load.is_finished() {
            // I/O that nobody answers ends only with both processes; without this the test would hang, not fail.
            println!("  the load hangs\n{}", node.log());
            node.kill_all();
        }
        let report = load
            .join()
            .unwrap_or_else(|_| panic!("the load failed\n{}", node.log()));
        if let Err(panic) = disturbed {
            std::panic::resume_unwind(panic);
        }
        report
    });
    drop(mounted);
    run("e2fsck", &["-f", "-n", &path]);
    let status = node.client().show(&device.key, soon()).unwrap();
    assert_eq!(status.io_errors, 0);
    node.detach(&device.key);
    node.expect_end();
    report
}

fn a_killed_data_plane_costs_a_pause_and_no_error() {
    const KILLS: u32 = 12;
    let node = Node::new(1, 128 << 20);
    let report = under_load(&node, || {
        for _ in 0..KILLS {
            std::thread::sleep(Duration::from_millis(250));
            let old = node.data_plane();
            kill(old);
            wait_for("the successor serves", || {
                let mut client = DataplaneClient::connect_existing(&node.dirs, soon()).ok()??;
                let list = client.list(soon()).ok()?;
                let back = list.first()?.conditions.is_empty();
                (node.data_plane() != old && back).then_some(())
            });
        }
    });
    println!(
        "  {KILLS} kills, {} writes, longest pause {} ms",
        report.writes,
        report.longest.as_millis()
    );
}

fn a_killed_hold_costs_nothing() {
    let node = Node::new(1, 128 << 20);
    let report = under_load(&node, || {
        for _ in 0..3 {
            let (old, served_by) = (node.guard(), node.data_plane());
            kill(old);
            wait_for("another hold", || {
                node.processes("hold").iter().any(|pid| *pid != old).then_some(())
            });
            assert_eq!(node.data_plane(), served_by);
            std::thread::sleep(Duration::from_millis(200));
        }
        // The one that took over is as good: it starts a successor.
        let old = node.data_plane();
        kill(old);
        wait_for("a successor", || {
            node.processes("dataplane")
                .iter()
                .any(|pid| *pid != old)
                .then_some(())
        });
    });
    println!(
        "  {} writes, longest pause {} ms",
        report.writes,
        report.longest.as_millis()
    );
}

fn when_both_are_killed_io_fails_and_nothing_hangs() {
    let node = Node::new(2, 64 << 20);
    let (mounted_device, raw) = (node.attach(0), node.attach(1));
    run(
        "mkfs.ext4",
        &["-q", "-F", mounted_device.device.to_str().unwrap()],
    );
    let mounted = Mounted::new(&mounted_device, "ext4");
    // Dirty pages of a raw device that nobody will ever write.
    std::fs::OpenOptions::new()
        .write(true)
        .open(&raw.device)
        .and_then(|mut f| std::io::Write::write_all(&mut f, &vec![1; 4 << 20]))
        .unwrap();
    let (hold, data_plane) = (node.guard(), node.data_plane());
    kill(hold);
    kill(data_plane);
    node.expect_end();
    wait_for("the raw device is gone", || (!is_bound(raw.minor)).then_some(()));
    let written = std::fs::write(mounted.0.path().join("late"), "x")
        .and_then(|()| std::fs::File::open(mounted.0.path().join("late"))?.sync_all());
    assert!(written.is_err(), "a write was acknowledged by nobody");
    let began = Instant::now();
    drop(mounted);
    assert!(began.elapsed() < Duration::from_secs(20));
    wait_for("the mounted device is gone", || {
        (!is_bound(mounted_device.minor)).then_some(())
    });
    // And the next one starts as if nothing had been.
    let device = node.attach(0);
    node.detach(&device.key);
    node.expect_end();
}

fn a_target_that_stops_answering_holds_nothing_up() {
    let node = Node::new(1, 16 << 20);
    let device = node.attach(0);
    let file = load::open(Path::new(&device.device));
    node.target.faults().pause();
    let writer = std::thread::spawn(move || {
        let memory = vec![7u8; 8192];
        let start = memory.as_ptr().align_offset(4096);
        std::os::unix::fs::FileExt::write_all_at(&file, &memory[start..start + 4096], 0)
    });
    let mut client = node.client();
    wait_for("the write is under way", || {
        (client.show(&device.key, soon()).unwrap().requests_in_flight > 0).then_some(())
    });
    let began = Instant::now();
    let error = client
        .detach(&device.key, false, Instant::now() + Duration::from_millis(500))
        .unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::FlushFailed | ErrorKind::DeadlineExceeded),
        "{error}"
    );
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "the deadline did not bound the call"
    );
    assert_eq!(
        node.client().list(soon()).unwrap().len(),
        1,
        "others are answered meanwhile"
    );
    node.target.faults().resume();
    writer.join().unwrap().unwrap();
    drop(client);
    node.detach(&device.key);
    node.expect_end();
}

fn a_writer_at_its_memory_limit_does_not_hang_behind_us() {
    let node = Node::new(1, 512 << 20);
    let Some(limited) = Limited::new(64 << 20) else {
        println!("  skipped: no memory controller can be set up here");
        return;
    };
    // The first client sits in the limited cgroup; the data plane that it starts must not stay there.
    let exe = std::env::current_exe().unwrap();
    let (run_dir, state_dir) = (node.dirs.run_dir.display(), node.dirs.state_dir.display());
    node.dirs.create().unwrap();
    limited.run(&format!(
        "exec {} hold --run-dir {run_dir} --state-dir {state_dir}",
        exe.display()
    ));
    let mut client = node.client();
    let facts = client.host(soon()).unwrap().facts;
    assert!(
        facts.iter().any(|fact| fact.name == "cgroup" && fact.ok),
        "{facts:?}"
    );
    let inside = std::fs::read_to_string(limited.0.join("cgroup.procs")).unwrap();
    let ours = [node.data_plane(), node.guard()];
    assert!(
        ours.iter()
            .all(|pid| !inside.lines().any(|line| line == pid.to_string())),
        "{inside}: {ours:?}"
    );
    drop(client);

    let device = node.attach(0);
    run("mkfs.ext4", &["-q", "-F", device.device.to_str().unwrap()]);
    let mounted = Mounted::new(&device, "ext4");
    let file = mounted.0.path().join("large");
    limited.run(&format!(
        "exec timeout -k 5 100 dd if=/dev/zero of={} bs=1M count=300 conv=fsync",
        file.display()
    ));
    drop(mounted);
    node.detach(&device.key);
    node.expect_end();
}

/// A cgroup with a memory limit, of either generation.
struct Limited(std::path::PathBuf);

impl Limited {
    fn new(bytes: u64) -> Option<Self> {
        let name = format!("limited-{}", std::process::id());
        for (root, limit) in [
            ("/sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            ("/sys/fs/cgroup", "memory.max"),
        ] {
            let group = Path::new(root).join(&name);
            if !Path::new(root).join("cgroup.procs").exists() || std::fs::create_dir(&group).is_err() {
                continue;
            }
            let group = Self(group);
            if std::fs::write(group.0.join(limit), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }

    fn run(&self, command: &str) {
        run(
            "sh",
            &[
                "-c",
                &format!("echo $$ > {}/cgroup.procs && {command}", self.0.display()),
            ],
        );
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir(&self.0);
    }
}

fn memory_at_rest_is_bounded() {
    const VOLUMES: u16 = 24;
    let node = Node::new(VOLUMES + 1, 8 << 20);
    let first = node.attach(0);
    let data_plane = node.data_plane();
    let idle = resident_kib(data_plane);
    let devices: Vec<_> = (1..=VOLUMES).map(|lun| node.attach(lun)).collect();
    let full = resident_kib(data_plane);
    let each = full.saturating_sub(idle) / u64::from(VOLUMES);
    let hold = resident_kib(node.guard());
    println!("  data plane with one volume {idle} KiB, each further one {each} KiB; hold {hold} KiB");
    assert!(each <= 1024, "{each} KiB for each volume at rest");
    if !cfg!(debug_assertions) {
        assert!(idle <= 12 << 10, "{idle} KiB with one volume");
    }
    for device in devices.iter().chain([&first]) {
        node.detach(&device.key);
    }
    node.expect_end();
}

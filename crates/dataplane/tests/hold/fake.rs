//! A data plane without devices: it keeps the writing ends of FIFOs, and does what it is told on a socket.

use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use longshore_blockdev::{Handover, Record, fdpass};
use longshore_dataplane::Dirs;
use longshore_dataplane::hold::{KeptDevice, Link};
use secrecy::{ExposeSecret, SecretSlice};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

/// Crashes at once while this file is there.
pub(crate) const CRASH: &str = "crash";
/// One byte for each start.
pub(crate) const STARTS: &str = "starts";
/// One byte for each SIGTERM.
pub(crate) const SIGNALS: &str = "signals";

pub(crate) fn run(dirs: &Dirs) -> ExitCode {
    let mark = |name: &str| {
        let path = dirs.run_dir.join(name);
        std::fs::OpenOptions::new().create(true).append(true).open(path)
    };
    mark(STARTS).unwrap().write_all(b".").unwrap();
    if dirs.run_dir.join(CRASH).exists() {
        return ExitCode::from(7);
    }
    signal_hook::low_level::pipe::register(signal_hook::consts::SIGTERM, mark(SIGNALS).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let end = runtime.block_on(serve(dirs));
    // With it goes the link.
    drop(runtime);
    match end {
        End::Exit => ExitCode::SUCCESS,
        End::Linger => linger(),
    }
}

/// How the data plane ends.
#[derive(Clone, Copy)]
enum End {
    Exit,
    Linger,
}

/// Ends the first thread only, as the kill of a process does to which a thread belongs that waits in the kernel.
#[allow(unsafe_code)]
fn linger() -> ! {
    std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(600)));
    // SAFETY: nothing of this thread is used by another one.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
    unreachable!("the thread has ended")
}

async fn serve(dirs: &Dirs) -> End {
    let raw = std::io::stdin().as_fd().try_clone_to_owned().unwrap();
    let link = Link::open(dirs.clone(), std::env::current_exe().unwrap()).unwrap();
    let kept = link.kept().await.unwrap();
    let _ = std::fs::remove_file(dirs.socket());
    let listener = UnixListener::bind(dirs.socket()).unwrap();
    link.ready().await.unwrap();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        if let Some(end) = converse(stream, dirs, &link, &kept, &raw).await {
            return end;
        }
    }
}

/// Carries commands out, one per line.
async fn converse(
    stream: UnixStream,
    dirs: &Dirs,
    link: &Link,
    kept: &[KeptDevice],
    raw: &OwnedFd,
) -> Option<End> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["pid"] => std::process::id().to_string(),
            ["list"] => list(dirs, kept),
            ["keep", name, note] => match keep(dirs, link, name, note).await {
                Ok(()) => "ok".to_owned(),
                Err(error) => error.to_string(),
            },
            ["release", name] => link
                .release(name)
                .await
                .map_or_else(|error| error.to_string(), |()| "ok".to_owned()),
            ["linger"] => return Some(End::Linger),
            ["garble"] => garble(raw),
            ["bye"] => match link.bye().await {
                Ok(()) => {
                    let _ = std::fs::remove_file(dirs.socket());
                    writer.write_all(b"ok\n").await.unwrap();
                    return Some(End::Exit);
                }
                Err(error) => error.to_string(),
            },
            _ => "what?".to_owned(),
        };
        writer.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
    }
    None
}

async fn keep(dirs: &Dirs, link: &Link, name: &str, note: &str) -> std::io::Result<()> {
    let writer = std::fs::OpenOptions::new()
        .write(true)
        .open(dirs.run_dir.join(name))?;
    let record: Record = serde_json::from_value(serde_json::json!({
        "name": name, "loop_number": 7, "size_bytes": 4096, "block_size_bytes": 512, "read_only": false,
        "negotiated": { "kernel_minor": 45, "resend": true },
    }))?;
    let handover = Handover {
        record: &record,
        descriptors: [writer.as_fd(), writer.as_fd(), writer.as_fd()],
    };
    link.keep(&SecretSlice::from(note.as_bytes().to_vec()), &handover)
        .await
}

/// What was given back: name, note, size, and how many descriptors of this process refer to its FIFO.
fn list(dirs: &Dirs, kept: &[KeptDevice]) -> String {
    let mut texts: Vec<String> = kept
        .iter()
        .map(|device| {
            let note = String::from_utf8_lossy(device.note.expose_secret()).into_owned();
            let record = &device.device.as_ref().unwrap().record;
            let count = descriptors(std::process::id(), &dirs.run_dir.join(&device.name)).len();
            format!("{}={note}/{}/{count}", device.name, record.size_bytes)
        })
        .collect();
    texts.sort();
    texts.join(",")
}

/// The numbers of a process's descriptors that refer to a file.
pub(crate) fn descriptors(pid: u32, path: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| std::fs::read_link(entry.path()).is_ok_and(|link| link == path))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// Says things to `hold` that no data plane says.
fn garble(raw: &OwnedFd) -> String {
    let (one, other) = rustix::pipe::pipe().unwrap();
    let many = [
        one.as_fd(),
        other.as_fd(),
        one.as_fd(),
        one.as_fd(),
        one.as_fd(),
        one.as_fd(),
        one.as_fd(),
        one.as_fd(),
    ];
    let long = vec![1; 100_000];
    let messages: [&[u8]; 12] = [
        b"",
        b"\x01",
        b"\x02\x01\0\0\0\0\0\0",
        b"\x01\x63\0\0\0\0\0\0",
        b"\x01\x01\xff\0\0\0\0\0abc",
        b"\x01\x01\x01\0\0\0\0\0\xff",
        b"\x01\x01\0\0\0\0\0\0no name",
        b"\x01\x06\0\0\0\0\0\0",
        b"\x01\x42\0\0\0\0\0\0",
        b"\x01\x40\0\0\0\0\0\0",
        b"\x01\x02\0\0\0\0\0\0",
        &long,
    ];
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    for round in 0..50_usize {
        let noise: Vec<u8> = (0..round)
            .map(|_| {
                random = random
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (random >> 56) as u8
            })
            .collect();
        for message in messages.iter().copied().chain([&noise[..]]) {
            let sent = fdpass::send(raw, message, &many[..round % 9]);
            if let Err(error) = sent
                && error.kind() != std::io::ErrorKind::WouldBlock
            {
                return error.to_string();
            }
        }
    }
    "ok".to_owned()
}

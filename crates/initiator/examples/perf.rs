//! Measures one LUN through this initiator: 4 KiB random reads at depth 1 and 32, 1 MiB sequential reads at depth 8.
//! Prints one JSON line. `cargo run --release --example perf -- PORTAL IQN LUN [SECONDS]`

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longshore_initiator::{DigestPolicy, Portal, Session, SessionConfig, Unit};
use longshore_scsi::lun::Lun;
use tokio::task::JoinSet;

const USAGE: &str = "usage: perf PORTAL IQN LUN [SECONDS] [--digests]";
const SMALL: u32 = 4096;
const LARGE: u32 = 1 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let digests = arguments.iter().any(|argument| argument == "--digests");
    arguments.retain(|argument| argument != "--digests");
    let [portal, iqn, lun, rest @ ..] = arguments.as_slice() else {
        return Err(USAGE.into());
    };
    let seconds = rest.first().map_or(Ok(3.0), |text| text.parse::<f64>())?;
    let lun = Lun::from_number(lun.parse()?).ok_or("the LUN is above 16383")?;
    let portal: Portal = portal.parse()?;
    let name = "iqn.2026-11.org.longshore:perf".parse()?;
    let mut config = SessionConfig::new(name, "800000000042".parse()?, iqn.parse()?, vec![portal]);
    if !digests {
        // As the clients that this is compared with.
        config.offers.header_digest = DigestPolicy::Never;
        config.offers.data_digest = DigestPolicy::Never;
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    let session = Session::login(config, deadline).await?;
    let unit = Arc::new(Unit::open(&session, lun, deadline).await?);
    let size = unit.geometry().size_bytes;
    if size < u64::from(LARGE) {
        return Err("the LUN is smaller than 1 MiB".into());
    }

    let run = Duration::from_secs_f64(seconds);
    let random_1 = measure(&unit, run, 1, SMALL, true).await?;
    let random_32 = measure(&unit, run, 32, SMALL, true).await?;
    let sequential = measure(&unit, run, 8, LARGE, false).await?;
    drop(unit);
    session.logout(Instant::now() + Duration::from_secs(10)).await?;
    println!(
        "{{\"random_read_4k_depth_1_per_s\":{random_1:.0},\"random_read_4k_depth_32_per_s\":{random_32:.0},\
         \"sequential_read_1m_depth_8_mb_per_s\":{:.0},\"digests\":{digests}}}",
        sequential * f64::from(LARGE) / 1e6
    );
    Ok(())
}

/// Reads per second.
async fn measure(
    unit: &Arc<Unit>,
    run: Duration,
    depth: u64,
    len: u32,
    random: bool,
) -> Result<f64, Box<dyn Error>> {
    let (stop, next) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let blocks = unit.geometry().size_bytes / u64::from(len);
    let mut workers = JoinSet::new();
    let start = Instant::now();
    for worker in 0..depth {
        let (unit, stop, next) = (unit.clone(), stop.clone(), next.clone());
        workers.spawn(async move {
            let mut state = worker.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            let mut count = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let block = if random {
                    state ^= state << 13;
                    state ^= state >> 7;
                    state ^= state << 17;
                    state % blocks
                } else {
                    next.fetch_add(1, Ordering::Relaxed) % blocks
                };
                unit.read(block * u64::from(len), len).await?;
                count += 1;
            }
            Ok::<_, longshore_initiator::UnitError>(count)
        });
    }
    tokio::time::sleep(run).await;
    stop.store(true, Ordering::Relaxed);
    let mut total = 0;
    while let Some(count) = workers.join_next().await {
        total += count??;
    }
    Ok(total as f64 / start.elapsed().as_secs_f64())
}

//! What the integration tests share.
#![allow(dead_code, reason = "each test binary uses a part of it")]

pub(crate) mod peer;
pub(crate) mod tgt;

use std::time::{Duration, Instant};

use longshore_initiator::{Portal, SessionConfig, Unit};

/// A deadline that only a defect can miss.
pub(crate) fn soon() -> Instant {
    Instant::now() + Duration::from_secs(60)
}

/// A session's configuration with times that suit a test on loopback.
pub(crate) fn config(target: &str, portals: Vec<Portal>) -> SessionConfig {
    let initiator = "iqn.2026-11.org.longshore:test".parse().unwrap();
    let isid = "800a1b2c0001".parse().unwrap();
    SessionConfig::new(initiator, isid, target.parse().unwrap(), portals)
}

/// A TCP port of 127.0.0.1 that nobody listened on a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// A pattern that tells each block of each write apart.
pub(crate) fn pattern(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

const MIB: u64 = 1 << 20;

/// Writes and reads back its own part of the unit, round after round; any error or difference panics.
pub(crate) async fn worker(unit: std::sync::Arc<Unit>, number: u64, rounds: u64) {
    let base = number * MIB;
    for round in 0..rounds {
        let len = [4096, 65_536, 512, 262_144][(round % 4) as usize];
        let offset = base + (round * 12_288) % (MIB - 262_144) / 512 * 512;
        let data = pattern(number << 32 | round, len);
        unit.write(offset, bytes::Bytes::from(data.clone()))
            .await
            .unwrap();
        if round % 7 == 0 {
            unit.flush().await.unwrap();
        }
        let back = unit.read(offset, len as u32).await.unwrap();
        assert!(
            back.into_bytes() == data,
            "worker {number} round {round} read back something else"
        );
    }
}

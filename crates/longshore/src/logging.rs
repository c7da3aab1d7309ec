//! `-v`: what the crates log, on standard error. Without it only warnings appear. No secret is ever logged.

use tracing::Level;
use tracing_subscriber::fmt;

/// Begins logging; `verbosity` counts the `-v`.
pub(crate) fn start(verbosity: u8) {
    let level = match verbosity {
        0 => Level::WARN,
        1 => Level::INFO,
        2 => Level::DEBUG,
        _ => Level::TRACE,
    };
    let subscriber = fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_target(verbosity > 1)
        .finish();
    // Only fails when a subscriber is set already, and then that one logs.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

//! Ending in order.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Exit code of a process that was told twice.
const IMPATIENT: i32 = 130;

/// A token that is cancelled on SIGINT (Ctrl-C) or SIGTERM. A second signal ends the process at
/// once: everything durable survives that by design.
///
/// # Errors
/// If the process cannot listen to signals.
pub fn on_signals() -> std::io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let cancelled = token.clone();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::spawn(async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
            }
        };
        let name = next().await;
        tracing::info!(signal = name, "stopping");
        cancelled.cancel();
        let name = next().await;
        tracing::warn!(signal = name, "stopping at once");
        std::process::exit(IMPATIENT);
    });
    Ok(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The signal goes to this whole process: nextest gives each test its own.
    #[tokio::test]
    async fn a_signal_cancels_the_token() {
        let token = on_signals().unwrap();
        assert!(!token.is_cancelled());
        let pid = std::process::id().to_string();
        assert!(
            std::process::Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        token.cancelled().await;
    }
}

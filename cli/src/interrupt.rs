//! Ctrl-C, and what a service manager sends: the work is dropped, which leaves nothing half-written, and the program ends with the
//! status of that signal.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use tokio::sync::oneshot;

/// How long what runs on other threads may take to put away what it began. A second signal ends the program before.
pub(crate) const PUTTING_AWAY: Duration = Duration::from_secs(3);

/// What was being done was stopped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped {
    /// 128 and the number of the signal, as shells have it.
    status: u8,
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("stopped: run the same command again to go on")
    }
}

impl std::error::Error for Stopped {}

impl Stopped {
    /// What the program ends with.
    pub(crate) fn status(self) -> ExitCode {
        ExitCode::from(self.status)
    }
}

/// Does some work unless a signal comes first: then the work is dropped.
///
/// # Errors
/// [`Stopped`], and those of the work.
pub(crate) async fn or_stop<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    // Before anything is begun.
    let Some(mut signals) = Signals::listen() else {
        return work.await;
    };
    let (tell, mut told) = oneshot::channel();
    // On a thread of the runtime's: the work may keep this one busy.
    let watch = tokio::spawn(async move {
        let _ = tell.send(signals.next().await);
        std::process::exit(signals.next().await.status.into());
    });
    let result = tokio::select! {
        biased;
        stopped = &mut told => match stopped {
            Ok(stopped) => Err(stopped.into()),
            // The watch ended, which it does not.
            Err(_) => std::future::pending().await,
        },
        result = work => result,
    };
    if result.is_ok() {
        watch.abort();
    }
    result
}

/// Ctrl-C, or what a service manager sends, to what runs until then.
pub(crate) async fn stop_signal() {
    match Signals::listen() {
        Some(mut signals) => {
            signals.next().await;
        }
        None => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
        })
    }

    async fn next(&mut self) -> Stopped {
        tokio::select! {
            _ = self.interrupt.recv() => Stopped { status: 130 },
            _ = self.terminate.recv() => Stopped { status: 143 },
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Option<Self> {
        Some(Self)
    }

    async fn next(&mut self) -> Stopped {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        Stopped { status: 130 }
    }
}

//! The effects of SIGINT, SIGTERM and SIGHUP.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::Failure;
use super::exit::Exit;
use super::terminal;
use super::token::end_commands;

/// SIGINT, SIGTERM, and SIGHUP as SIGTERM: the first one stops cleanly, the second at once. A signal that was ignored at
/// the start (`nohup`, or a script's background job) stays ignored.
#[derive(Debug, Clone)]
pub(super) struct Signals(watch::Receiver<Option<Exit>>);

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        Self::listen_for(None)
    }

    /// The same, and the end of a time stops as the first signal does.
    pub(super) fn listen_for(most: Option<Duration>) -> Result<Self, Failure> {
        let cannot = |error| Failure::temporary(format!("Signals cannot be watched: {error}"));
        let ignored = ignored();
        let watch = |kind: SignalKind| match ignored & (1 << (kind.as_raw_value() - 1)) {
            0 => signal(kind).map(Some).map_err(cannot),
            _ => Ok(None),
        };
        let mut int = watch(SignalKind::interrupt())?;
        let mut term = watch(SignalKind::terminate())?;
        let mut hangup = watch(SignalKind::hangup())?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            let mut deadline = std::pin::pin!(async {
                match most {
                    Some(most) => tokio::time::sleep(most).await,
                    None => std::future::pending().await,
                }
            });
            let mut is_over = false;
            loop {
                let exit = tokio::select! {
                    () = received(&mut int) => Exit::INTERRUPTED,
                    () = received(&mut term) => Exit::TERMINATED,
                    () = received(&mut hangup) => Exit::TERMINATED,
                    () = &mut deadline, if !is_over => {
                        is_over = true;
                        sender.send_if_modified(|exit| exit.is_none() && {
                            *exit = Some(Exit::AGAIN);
                            true
                        });
                        continue;
                    }
                };
                if sender.send_replace(Some(exit)).is_some() {
                    end_commands();
                    terminal::exit(exit);
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Waits for the first signal; returns its exit code.
    pub(super) async fn first(&mut self) -> Exit {
        match self.0.wait_for(Option::is_some).await.map(|exit| *exit) {
            Ok(Some(exit)) => exit,
            _ => std::future::pending().await,
        }
    }

    /// The exit code of the first signal, if one has come.
    pub(super) fn came(&self) -> Option<Exit> {
        *self.0.borrow()
    }

    /// Runs a future until a signal comes.
    pub(super) async fn or(
        work: impl Future<Output = Result<Exit, Failure>>,
    ) -> Result<Exit, Failure> {
        let mut signals = Self::listen()?;
        tokio::select! {
            ended = work => ended,
            exit = signals.first() => Ok(exit),
        }
    }
}

async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// A mask of the signals that this process ignores; 0 if the system does not show it.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}

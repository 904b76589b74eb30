//! What SIGINT and SIGTERM do.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::Failure;
use super::exit::Exit;
use super::terminal;
use super::token::end_commands;

/// SIGINT and SIGTERM: the first stops cleanly, the second at once.
#[derive(Debug, Clone)]
pub(super) struct Signals(watch::Receiver<Option<Exit>>);

impl Signals {
    pub(super) fn listen() -> Result<Self, Failure> {
        let cannot = |error| Failure::temporary(format!("Signals cannot be watched: {error}"));
        let mut int = signal(SignalKind::interrupt()).map_err(cannot)?;
        let mut term = signal(SignalKind::terminate()).map_err(cannot)?;
        let (sender, receiver) = watch::channel(None);
        tokio::spawn(async move {
            loop {
                let exit = tokio::select! {
                    _ = int.recv() => Exit::INTERRUPTED,
                    _ = term.recv() => Exit::TERMINATED,
                };
                if sender.send_replace(Some(exit)).is_some() {
                    end_commands();
                    terminal::exit(exit);
                }
            }
        });
        Ok(Self(receiver))
    }

    /// Waits for the first signal; what exit code it stands for.
    pub(super) async fn first(&mut self) -> Exit {
        match self.0.wait_for(Option::is_some).await.map(|exit| *exit) {
            Ok(Some(exit)) => exit,
            _ => std::future::pending().await,
        }
    }

    /// Does some work until a signal comes.
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

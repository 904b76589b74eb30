//! Stops jobs that run: one of them, or all for a shutdown.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::dispatch::Dispatch;
use crate::engine::handle::Stopper;

/// How often it is looked whether a chunk in flight has ended.
const GLANCE: Duration = Duration::from_millis(50);

/// How long a shutdown waits after its deadline for uploads that were stopped: a store that fails must not hold it up.
const GRACE: Duration = Duration::from_secs(5);

impl Dispatch {
    /// Stops a job if it runs, and returns once this run has ended. A later one is somebody else's wish.
    pub(super) async fn stop(&self, id: &str) {
        let Some(run) = self.lines().running.get(id).map(|running| running.run) else {
            return;
        };
        loop {
            let mut changes = self.events.subscribe();
            match self.lines().running.get(id) {
                Some(running) if running.run == run => {
                    if let Some(stopper) = &running.stopper {
                        stopper.stop();
                    }
                }
                _ => return,
            }
            tokio::select! {
                _ = changes.recv() => {}
                () = tokio::time::sleep(GLANCE) => {}
            }
        }
    }

    /// Stops the jobs that run and fulfil the condition. Returns whether none runs.
    fn stop_where(&self, stops: impl Fn(&Stopper) -> bool) -> bool {
        let lines = self.lines();
        let stoppers = lines.running.values().filter_map(|of| of.stopper.as_ref());
        stoppers.filter(|of| stops(of)).for_each(Stopper::stop);
        lines.running.is_empty()
    }

    /// Stops the jobs that run while the queue is paused, and returns once none runs, or the pause has ended.
    pub(super) async fn stop_all(&self) {
        while self.halted.load(Ordering::SeqCst) && !self.stop_where(|_| true) {
            tokio::time::sleep(GLANCE).await;
        }
    }

    /// Begins no more jobs, and stops those that run once their chunk in flight has ended, or at the deadline.
    pub(super) async fn drain(&self, deadline: Duration) {
        self.draining.send_replace(true);
        let end = tokio::time::Instant::now() + deadline;
        loop {
            let late = tokio::time::Instant::now() >= end;
            let none = self.stop_where(|stopper| late || stopper.is_at_border());
            if none || tokio::time::Instant::now() >= end + GRACE {
                return;
            }
            tokio::time::sleep(GLANCE).await;
        }
    }
}

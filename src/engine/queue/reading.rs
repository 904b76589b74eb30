//! Reads the jobs that have not ended, when a queue is opened.

use std::sync::Arc;

use super::dispatch::{AGAIN, Dispatch};
use super::outcome;
use crate::clock;
use crate::error::Error;
use crate::journal::queue::{Change, JobRow, JobState};

/// How many rows are read at a time.
const PAGE: usize = 1000;

impl Dispatch {
    /// Puts all jobs that have not ended in their lines.
    pub(super) async fn read_all(self: &Arc<Self>) {
        let mut after = None;
        loop {
            let rows = match self.store.jobs(after.clone(), PAGE, true).await {
                Ok(rows) => rows,
                Err(error) => {
                    tracing::error!(%error, "the queue cannot be read");
                    clock::sleep(AGAIN).await;
                    continue;
                }
            };
            self.spool
                .keep(rows.iter().filter_map(|row| row.wish.spooled()));
            for row in rows.iter().filter(|row| self.is_orphan(row)) {
                self.end_orphan(&row.id).await;
            }
            let mut lines = self.lines();
            let ours = rows.iter().filter(|row| row.wish.api_base == self.api_base);
            // A job that has its place already was changed after it was read here.
            ours.filter(|row| !lines.holds(row) && !self.is_orphan(row))
                .collect::<Vec<_>>()
                .into_iter()
                .for_each(|row| lines.place(row));
            drop(lines);
            after = rows.last().map(|row| row.id.clone());
            if rows.len() < PAGE {
                // A video may belong to a job that cannot be read now.
                if !self.store.has_left_out_jobs() {
                    self.spool.sweep();
                }
                return;
            }
        }
    }

    /// Whether a job has lost the only one who could ask for it: a video that an earlier process took in for a caller who waited for its
    /// end, and without an id. That caller sends it in again.
    fn is_orphan(&self, row: &JobRow) -> bool {
        let is_waited_for = row.wish.options.once && row.wish.caller_id.is_none();
        let kept = row.wish.spooled().filter(|_| is_waited_for);
        kept.is_some_and(|kept| !self.spool.has_made(kept))
    }

    async fn end_orphan(self: &Arc<Self>, id: &str) {
        let end = outcome::end_of(&Error::cancelled());
        let ended = self.change(id, None, move |row| match row.has_ended() {
            true => Change::Nothing,
            false => {
                row.state = JobState::Ended { end: end.clone() };
                Change::News("ended")
            }
        });
        if let Err(error) = ended.await {
            tracing::error!(%error, job = id, "the end of a job cannot be recorded");
        }
    }
}

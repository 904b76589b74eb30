//! Reads the jobs that have not ended, when a queue is opened.

use super::dispatch::{AGAIN, Dispatch};
use crate::clock;

/// How many rows are read at a time.
const PAGE: usize = 1000;

impl Dispatch {
    /// Puts all jobs that have not ended in their lines.
    pub(super) async fn read_all(&self) {
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
            let mut lines = self.lines();
            let ours = rows.iter().filter(|row| row.wish.api_base == self.api_base);
            // A job that has its place already was changed after it was read here.
            ours.filter(|row| !lines.holds(row))
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
}

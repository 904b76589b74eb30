//! The jobs that are in a state now, found in memory: only the rows of those that are asked for are read.

use super::census::Why;
use super::filter::JobFilter;
use super::lines::Lines;
use super::record::JobRecord;
use crate::engine::Engine;
use crate::error::Error;

impl Lines {
    /// The ids of at most `limit` jobs in this state whose accounts fit, those first that were accepted first.
    fn ids(&self, state: &str, limit: usize, fits: &dyn Fn(&str) -> bool) -> Vec<String> {
        let aside = |is: fn(&Why) -> bool| {
            let of = self.aside.iter().filter(move |(_, aside)| is(&aside.why));
            of.filter(|(_, aside)| fits(&aside.account))
                .map(|(id, _)| id)
        };
        let mut ids: Vec<&String> = match state {
            "queued" => {
                let lines = self.waiting.iter().filter(|(account, _)| fits(account));
                lines
                    .flat_map(|(_, line)| line.keys())
                    .chain(aside(|why| matches!(why, Why::NotYet)))
                    .collect()
            }
            "running" => {
                let running = self.running.iter().filter(|(_, of)| fits(&of.account));
                running.map(|(id, _)| id).collect()
            }
            "paused" => aside(|why| matches!(why, Why::Paused)).collect(),
            _ => aside(|why| matches!(why, Why::Parked(_))).collect(),
        };
        if ids.len() > limit && limit > 0 {
            ids.select_nth_unstable(limit - 1);
        }
        ids.truncate(limit);
        ids.sort_unstable();
        ids.into_iter().cloned().collect()
    }
}

impl Engine {
    /// At most `limit` jobs in this state (`queued`, `running`, `paused` or `parked`) for accounts whose names fit, those first that were
    /// accepted first. Reads only the rows of these, so a program may call it every second, however long the queue is;
    /// [`jobs`](Self::jobs) has all filters.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Usage`](crate::ErrorKind::Usage) for another state; otherwise as [`job`](Self::job).
    pub async fn jobs_now(
        &self,
        state: &str,
        limit: usize,
        fits: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<JobRecord>, Error> {
        if state == "ended" || !JobFilter::STATES.contains(&state) {
            return Err(Error::usage(
                "Jobs that have not ended are queued, running, paused or parked.",
            ));
        }
        let queue = self.queue()?;
        let ids = queue.dispatch.lines().ids(state, limit, &fits);
        let mut jobs = Vec::with_capacity(ids.len());
        for id in ids {
            // A job may have ended, or gone on, since the look into the lines.
            jobs.extend(
                queue
                    .record(&id)
                    .await?
                    .filter(|record| record.state == state),
            );
        }
        Ok(jobs)
    }
}

#[cfg(test)]
mod tests {
    use crate::clock::Timestamp;
    use crate::engine::queue::lines::Lines;
    use crate::journal::queue::{JobEnd, JobRow, JobState, Wish};

    fn row(id: u64, account: &str, state: JobState) -> JobRow {
        let wish = serde_json::json!({
            "account": account, "api_base": "", "source": "pull", "url": "https://x", "key": null, "preflight": false
        });
        let wish: Wish = serde_json::from_value(wish).expect("a wish");
        let mut row = JobRow::new(format!("{id:016x}"), wish);
        row.state = state;
        row
    }

    #[test]
    fn a_job_is_found_in_its_state_alone_and_those_accepted_first_come_first() {
        let queued = |not_before| JobState::Queued {
            not_before,
            why: None,
        };
        let end = serde_json::json!({ "outcome": "needs_person", "at": 0 });
        let end: JobEnd = serde_json::from_value(end).expect("an end");
        let until = Timestamp(9);
        let mut lines = Lines::default();
        let mut paused = row(6, "lena", queued(None));
        paused.paused = true;
        for row in [
            row(4, "lena", queued(None)),
            row(2, "lena", queued(Some(Timestamp(5)))),
            row(3, "mia", queued(None)),
            row(5, "lena", JobState::Parked { end, until }),
            row(1, "noa", queued(None)),
            paused,
        ] {
            lines.place(&row);
        }
        let found = |lines: &Lines, state, limit, fits: &dyn Fn(&str) -> bool| {
            let ids = lines.ids(state, limit, fits).into_iter();
            ids.map(|id| u64::from_str_radix(&id, 16).expect("an id"))
                .collect::<Vec<_>>()
        };
        let all = |_: &str| true;
        assert_eq!(found(&lines, "queued", 9, &all), [1, 2, 3, 4]);
        assert_eq!(found(&lines, "queued", 2, &all), [1, 2]);
        assert!(found(&lines, "queued", 0, &all).is_empty());
        assert_eq!(found(&lines, "queued", 9, &|name| name == "lena"), [2, 4]);
        assert_eq!(found(&lines, "paused", 9, &all), [6]);
        assert_eq!(found(&lines, "parked", 9, &all), [5]);
        assert!(found(&lines, "parked", 9, &|name| name == "mia").is_empty());
        assert_eq!(
            lines.next(9, 9).map(|(id, _)| id).as_deref(),
            Some("0000000000000004")
        );
        assert_eq!(found(&lines, "running", 9, &all), [4]);
        assert_eq!(found(&lines, "queued", 9, &all), [1, 2, 3]);
    }
}

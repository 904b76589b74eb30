//! What has happened to jobs since the service began, in memory: the page shows more of a job than its row holds.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use chunkferry::{Behind, Event, JobEvent, JobEvents, Plan, Progress};

use crate::pace::Pace;
use crate::serve::message;
use crate::size::humane;

/// Jobs whose stories are kept; that which was quiet for longest goes first.
const MOST: usize = 500;

/// Lines of a story that are kept; the oldest ones go first.
const LINES: usize = 60;

/// A rate is of the last seconds alone.
const STALE: Duration = Duration::from_secs(6);

/// Something that happened to a job.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) at: SystemTime,
    pub(super) is_trouble: bool,
    pub(super) text: String,
}

/// What is known of a job beside its row.
#[derive(Debug, Default)]
pub(super) struct Story {
    lines: VecDeque<Line>,
    /// What its upload does now, in words.
    phase: String,
    plan: Option<Plan>,
    publish_id: Option<String>,
    retries: u64,
    pace: Pace,
    noted: Option<Instant>,
    touched: Option<Instant>,
}

/// A story as it is now.
#[derive(Debug, Clone, Default)]
pub(super) struct Told {
    pub(super) lines: Vec<Line>,
    pub(super) plan: Option<Plan>,
    pub(super) publish_id: Option<String>,
    pub(super) retries: u64,
}

/// How fast a job is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Speed {
    /// Bytes a second.
    pub(super) rate: u64,
    /// Until the end, at this rate.
    pub(super) seconds_left: Option<u64>,
}

/// The stories of jobs, by their ids.
#[derive(Debug, Default)]
pub(in crate::serve) struct Stories(Mutex<HashMap<String, Story>>);

impl Stories {
    /// Notes what happens, for as long as the engine lives.
    pub(in crate::serve) async fn listen(&self, mut events: JobEvents) {
        while let Some(event) = events.next().await {
            match event {
                JobEvent::Upload { job, event } => self.write(&job, |story| story.note(event)),
                JobEvent::Ran { job, ended, .. } => self.write(&job, |story| {
                    story.phase.clear();
                    if let Err(error) = &*ended {
                        story.line(true, format!("The run has ended: {}", message(error)));
                    }
                }),
                _ => {}
            }
        }
    }

    fn write(&self, job: &str, write: impl FnOnce(&mut Story)) {
        let mut all = self.lock();
        if !all.contains_key(job) && all.len() >= MOST {
            let quiet = all.iter().min_by_key(|(_, story)| story.touched);
            if let Some(quiet) = quiet.map(|(job, _)| job.clone()) {
                all.remove(&quiet);
            }
        }
        let story = all.entry(job.to_owned()).or_default();
        story.touched = Some(Instant::now());
        write(story);
    }

    pub(super) fn tell(&self, job: &str) -> Told {
        let all = self.lock();
        let Some(story) = all.get(job) else {
            return Told::default();
        };
        Told {
            lines: story.lines.iter().cloned().collect(),
            plan: story.plan,
            publish_id: story.publish_id.clone(),
            retries: story.retries,
        }
    }

    pub(super) fn phase(&self, job: &str) -> String {
        let all = self.lock();
        all.get(job).map(|of| of.phase.clone()).unwrap_or_default()
    }

    /// Notes how far a job is, and says how fast it was over the last seconds in which somebody looked.
    pub(super) fn speed(&self, job: &str, progress: &Progress) -> Option<Speed> {
        let (mut speed, now) = (None, Instant::now());
        self.write(job, |story| {
            let noted = story.noted.replace(now);
            if noted.is_none_or(|noted| now - noted > STALE) {
                story.pace = Pace::default();
            }
            story.pace.note(now, progress.sent);
            speed = story.pace.rate().map(|rate| Speed {
                rate: rate as u64,
                seconds_left: story
                    .pace
                    .seconds_for(progress.total.saturating_sub(progress.sent)),
            });
        });
        speed.filter(|speed| speed.rate > 0)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Story>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Story {
    fn line(&mut self, is_trouble: bool, text: String) {
        if self.lines.len() == LINES {
            self.lines.pop_front();
        }
        self.lines.push_back(Line {
            at: SystemTime::now(),
            is_trouble,
            text,
        });
    }

    fn note(&mut self, event: Event) {
        let phase = match event {
            Event::Queued { behind } => match behind {
                Behind::Account => "waits for the other jobs of its account",
                Behind::Video => "waits for another job of the same video",
                _ => "waits for its turn",
            }
            .to_owned(),
            Event::Comparing => "compares the file with what was sent before".to_owned(),
            Event::Planned {
                plan,
                confirmed,
                publish_id,
                ..
            } => {
                (self.plan, self.publish_id) = (plan, publish_id);
                if let Some(plan) = plan {
                    self.line(false, planned(&plan, confirmed));
                }
                "asks TikTok for an upload".to_owned()
            }
            Event::Waiting { cause, wait } => {
                let text = format!("waits {}: {cause}", seconds(wait));
                self.line(false, format!("It {text}"));
                text
            }
            Event::SessionOpened { publish_id } => {
                self.line(false, format!("TikTok opened the upload {publish_id}"));
                self.publish_id = Some(publish_id);
                String::new()
            }
            Event::Pulling { publish_id } => {
                self.line(false, format!("TikTok fetches the URL as {publish_id}"));
                self.publish_id = Some(publish_id);
                "TikTok fetches the video".to_owned()
            }
            Event::ChunkAccepted { .. } => String::new(),
            Event::Retry { cause, wait } => {
                self.retries += 1;
                let text = format!("tries again in {}: {cause}", seconds(wait));
                self.line(true, format!("It {text}"));
                text
            }
            Event::SessionLost { cause } => {
                self.line(true, format!("The upload cannot be used any more: {cause}"));
                self.publish_id = None;
                "begins anew".to_owned()
            }
            Event::Processing { .. } => {
                self.line(
                    false,
                    "TikTok has all bytes, and processes the video".to_owned(),
                );
                "TikTok processes the video".to_owned()
            }
            Event::Notice(notice) => return self.line(false, notice.to_string()),
            _ => return,
        };
        self.phase = phase;
    }
}

/// A plan in words.
pub(super) fn in_words(plan: &Plan) -> String {
    let size = humane(plan.video_size());
    match plan.chunk_count() {
        1 => format!("{size}, sent whole"),
        count => format!("{size} in {count} chunks of {}", humane(plan.chunk_size())),
    }
}

fn planned(plan: &Plan, confirmed: u64) -> String {
    match confirmed {
        0 => format!("The plan: {}", in_words(plan)),
        _ => {
            let (plan, done) = (in_words(plan), humane(confirmed));
            format!("It carries on after {done} (the plan: {plan})")
        }
    }
}

fn seconds(wait: Duration) -> String {
    match wait.as_secs() {
        0 => "1 s".to_owned(),
        seconds => format!("{seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_jobs_or_events_fills_the_memory() {
        let stories = Stories::default();
        for job in 0..MOST + 50 {
            stories.write(&job.to_string(), |story| {
                for _ in 0..LINES + 5 {
                    story.line(false, "x".to_owned());
                }
            });
        }
        assert_eq!(stories.lock().len(), MOST);
        assert_eq!(stories.tell("0").lines.len(), 0, "the quietest one went");
        assert_eq!(stories.tell(&(MOST + 49).to_string()).lines.len(), LINES);
    }
}

//! The page of one job: what it is, how far it is, and its story.

use std::time::SystemTime;

use chunkferry::{JobNotice, JobRecord};

use super::html::Html;
use super::overview::{how_far, need};
use super::parts::{deeds, distance, outcome, short, time};
use super::story::{Told, in_words};
use super::view::{May, Running};

/// What is known of a job.
pub(super) struct View {
    pub(super) running: Running,
    pub(super) story: Told,
    pub(super) notices: Vec<JobNotice>,
}

/// The part of the page that changes.
pub(super) fn part(view: &View, may: &May) -> Html {
    let job = &view.running.job;
    let mut html = Html::new();
    html.put(
        r#"<p class="back"><a href="/">All jobs</a></p><div class="summary"><h1>{}</h1>"#,
        &[&short(&job.source)],
    );
    state(&mut html, job);
    html.put(
        r#"</div><div class="columns"><div class="work"><section class="card" aria-label="State">"#,
        &[],
    );
    match &*job.state {
        "running" => how_far(&mut html, &view.running),
        "parked" => need(&mut html, job),
        "ended" => end(&mut html, job),
        _ => waits(&mut html, job),
    }
    deeds(&mut html, may, job);
    html.put("</section>", &[]);
    story(&mut html, view);
    html.put("</div><aside>", &[]);
    facts(&mut html, view);
    html.put("</aside></div>", &[]);
    html
}

/// The title of the window.
pub(super) fn title(job: &JobRecord) -> String {
    format!("{} · chunkferry", short(&job.source))
}

fn state(html: &mut Html, job: &JobRecord) {
    let (text, mark) = match (&*job.state, &job.end) {
        ("ended", Some(end)) => outcome(&end.outcome),
        ("parked", _) => ("needs a person", "warn"),
        ("running", _) => ("on the way", "accent"),
        (state, _) => (state, "soft"),
    };
    html.put(
        r#"<p class="state {}" aria-live="polite">{}</p>"#,
        &[&mark, &text],
    );
}

fn waits(html: &mut Html, job: &JobRecord) {
    if let Some(why) = &job.why {
        html.put(r#"<p class="why">{}</p>"#, &[why]);
    }
    match job.next {
        Some(next) => html.put(
            r#"<p class="facts">It is tried again {}.</p>"#,
            &[&distance(next)],
        ),
        None if job.state == "paused" => html.put(
            r#"<p class="facts">It is paused until somebody resumes it.</p>"#,
            &[],
        ),
        None => html.put(r#"<p class="facts">It waits for its turn.</p>"#, &[]),
    };
}

fn end(html: &mut Html, job: &JobRecord) {
    let Some(end) = &job.end else { return };
    match (&end.why, outcome(&end.outcome).1) {
        (Some(_), _) => need(html, job),
        (None, "good") => {
            let known = match end.creator_known {
                Some(true) => "of this account's creator",
                _ => "of the creator whose token was used",
            };
            html.put(
                r#"<p class="why plain">The draft is in the inbox {}"#,
                &[&known],
            );
            if let Some(at) = end.delivered_at {
                html.put(" since ", &[]);
                time(html, at);
            }
            html.put(".</p>", &[]);
        }
        (None, _) => drop(html.put(r#"<p class="facts">It has ended.</p>"#, &[])),
    }
    if let Some(first) = &end.first_job {
        html.put(
            r#"<p class="facts">It was delivered by <a href="/jobs/{}">an earlier job</a>.</p>"#,
            &[first],
        );
    }
}

/// A row of the facts, with a value that can be selected as a whole.
fn fact(html: &mut Html, name: &str, value: Option<&str>) {
    if let Some(value) = value.filter(|value| !value.is_empty()) {
        html.put("<dt>{}</dt><dd><code>{}</code></dd>", &[&name, &value]);
    }
}

fn facts(html: &mut Html, view: &View) {
    let job = &view.running.job;
    html.put(
        r#"<section aria-labelledby="h-facts"><h2 id="h-facts">Facts</h2><dl class="facts-list">"#,
        &[],
    );
    fact(html, "Account", Some(&job.account));
    let kind = if job.source.contains("://") {
        "URL"
    } else {
        "File"
    };
    fact(html, kind, Some(&job.source));
    fact(html, "Job", Some(&job.id));
    fact(html, "Your id", job.caller_id.as_deref());
    fact(html, "Calls", job.notify.as_deref());
    let plan = view.story.plan.as_ref().map(in_words);
    fact(html, "Plan", plan.as_deref());
    if view.story.retries > 0 {
        fact(
            html,
            "Requests sent again",
            Some(&view.story.retries.to_string()),
        );
    }
    if job.tries > 0 {
        fact(html, "Runs that failed", Some(&job.tries.to_string()));
    }
    fact(html, "Upload", job.upload.as_deref());
    let end = job.end.as_ref();
    let ended_as = end.and_then(|end| end.publish_id.as_deref());
    fact(
        html,
        "publish_id",
        ended_as.or(view.story.publish_id.as_deref()),
    );
    if let Some(end) = end {
        fact(html, "Code", end.code.as_deref());
        fact(html, "log_id", end.log_id.as_deref());
        fact(html, "SHA-256", end.sha256.as_deref());
    }
    html.put("</dl></section>", &[]);
    if !job.labels.is_empty() {
        html.put(r#"<section aria-labelledby="h-labels"><h2 id="h-labels">Labels</h2><dl class="facts-list">"#, &[]);
        for (name, value) in &job.labels {
            html.put("<dt>{}</dt><dd><code>{}</code></dd>", &[name, value]);
        }
        html.put("</dl></section>", &[]);
    }
}

/// What has happened, the newest first.
fn story(html: &mut Html, view: &View) {
    let job = &view.running.job;
    let mut lines: Vec<(SystemTime, bool, String)> =
        vec![(job.created, false, "Accepted".to_owned())];
    let told = view.story.lines.iter();
    lines.extend(told.map(|line| (line.at, line.is_trouble, line.text.clone())));
    let mut has_end = false;
    for notice in &view.notices {
        let word = notice.end.as_ref().map_or("", |end| &end.outcome);
        let (is_trouble, text) = match &*notice.kind {
            "parked" => (true, "It needs a person".to_owned()),
            "unparked" => (false, "It goes on".to_owned()),
            _ => {
                has_end = true;
                let (text, mark) = outcome(word);
                (mark == "bad", format!("Ended: {text}"))
            }
        };
        lines.push((notice.at, is_trouble, text));
    }
    if let Some(end) = job
        .end
        .as_ref()
        .filter(|_| job.state == "ended" && !has_end)
    {
        let (text, mark) = outcome(&end.outcome);
        lines.push((end.at, mark == "bad", format!("Ended: {text}")));
    }
    // What came first stays first where times are the same.
    lines.sort_by_key(|(at, ..)| *at);
    html.put(r#"<section aria-labelledby="h-story"><h2 id="h-story">Story</h2><ol class="lines story" id="story">"#, &[]);
    for (at, is_trouble, text) in lines.iter().rev() {
        let mark = if *is_trouble { "bad" } else { "soft" };
        html.put(r#"<li><span class="dot {}"></span>"#, &[&mark]);
        time(html, *at);
        html.put("<span>{}</span></li>", &[text]);
    }
    html.put("</ol></section>", &[]);
}

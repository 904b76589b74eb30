//! The page at `/`: what is under way, what waits, what needs a person, and the accounts.

use chunkferry::JobRecord;

use super::advice;
use super::html::Html;
use super::parts::{bar, deeds, distance, form, name, numbers, outcome, share, time};
use super::view::{Account, Ended, May, Overview, Running};

/// The part of the page that changes.
pub(super) fn part(view: &Overview, may: &May) -> Html {
    let mut html = Html::new();
    summary(&mut html, view, may);
    html.put(r#"<div class="columns"><div class="work">"#, &[]);
    parked(&mut html, view, may);
    running(&mut html, view, may);
    queued(&mut html, view, may);
    html.put(r#"</div><aside>"#, &[]);
    accounts(&mut html, view);
    ended(&mut html, view);
    html.put("</aside></div>", &[]);
    html
}

/// The title of the window.
pub(super) fn title(view: &Overview) -> String {
    match (view.counts.parked, view.counts.running) {
        (0, 0) => "chunkferry".to_owned(),
        (0, running) => format!("{running} on the way · chunkferry"),
        (parked, _) => format!("({parked}) needs you · chunkferry"),
    }
}

fn summary(html: &mut Html, view: &Overview, may: &May) {
    let counts = &view.counts;
    html.put(
        r#"<div class="summary" data-title="{}"><h1 id="news" aria-live="polite">"#,
        &[&title(view)],
    );
    let waiting = counts.queued + counts.paused;
    match (counts.parked, counts.running, waiting) {
        _ if view.queue.paused => html.put("Everything is paused", &[]),
        (0, 0, 0) => html.put("All quiet", &[]),
        (0, 0, waits) => html.put("{} in the queue", &[&waits]),
        (0, running, 0) => html.put("{} on the way", &[&running]),
        (0, running, waits) => html.put("{} on the way, {} in the queue", &[&running, &waits]),
        (1, 0, _) => html.put("1 needs a person", &[]),
        (parked, 0, _) => html.put("{} need a person", &[&parked]),
        (1, running, _) => html.put("1 needs a person, {} on the way", &[&running]),
        (parked, running, _) => html.put("{} need a person, {} on the way", &[&parked, &running]),
    };
    html.put("</h1>", &[]);
    if view.is_draining {
        html.put(r#"<p class="hint">The service is ending. The jobs carry on when it is started again.</p>"#, &[]);
    }
    if may.admin {
        match view.queue.paused {
            true => form(html, may, "/queue/resume", "Resume all", "primary", ""),
            false => form(html, may, "/queue/pause", "Pause all", "", ""),
        }
    }
    html.put("</div>", &[]);
}

fn parked(html: &mut Html, view: &Overview, may: &May) {
    if view.parked.is_empty() {
        return;
    }
    html.put(
        r#"<section class="parked" aria-labelledby="h-parked"><h2 id="h-parked">Needs a person</h2><ul class="cards">"#,
        &[],
    );
    for job in &view.parked {
        html.put(r#"<li class="card" id="job-{}">"#, &[&job.id]);
        head(html, job, "");
        need(html, job);
        deeds(html, may, job);
        html.put("</li>", &[]);
    }
    more(html, view.counts.parked, view.parked.len());
    html.put("</ul></section>", &[]);
}

/// What a job waits for, and what helps.
pub(super) fn need(html: &mut Html, job: &JobRecord) {
    let Some(end) = &job.end else { return };
    if let Some(why) = &end.why {
        html.put(r#"<p class="why">{}</p>"#, &[why]);
    }
    if !end.remedies.is_empty() {
        html.put(r#"<ul class="advice">"#, &[]);
        for word in &end.remedies {
            advice::put(html, word, &job.account);
        }
        html.put("</ul>", &[]);
    }
    html.put(r#"<p class="facts">"#, &[]);
    if let Some(who) = &end.who {
        html.put("Who must act: {}", &[&advice::who(who)]);
    }
    if let Some(until) = job.next {
        html.put(" · it waits until ", &[]);
        time(html, until);
    }
    html.put("</p>", &[]);
}

fn head(html: &mut Html, job: &JobRecord, right: &str) {
    html.put(r#"<div class="row">"#, &[]);
    name(html, &job.id, &job.source);
    html.put(r#"<span class="account">{}</span>"#, &[&job.account]);
    if !right.is_empty() {
        html.put(r#"<span class="right">{}</span>"#, &[&right]);
    }
    html.put("</div>", &[]);
}

fn running(html: &mut Html, view: &Overview, may: &May) {
    html.put(
        r#"<section aria-labelledby="h-running"><h2 id="h-running">On the way</h2><ul class="cards" id="running">"#,
        &[],
    );
    for running in &view.running {
        html.put(r#"<li class="card" id="job-{}">"#, &[&running.job.id]);
        let percent = running.progress.as_ref().map(share);
        head(html, &running.job, &percent.unwrap_or_default());
        how_far(html, running);
        deeds(html, may, &running.job);
        html.put("</li>", &[]);
    }
    if view.running.is_empty() {
        let text = match view.queue.paused {
            true => "Nothing runs until the queue is resumed.",
            false => "Nothing is on the way.",
        };
        html.put(r#"<li class="none">{}</li>"#, &[&text]);
    }
    html.put("</ul></section>", &[]);
}

/// The bar of a job that runs, and what it does.
pub(super) fn how_far(html: &mut Html, running: &Running) {
    let phase = match running.phase.is_empty() {
        true if running.progress.is_none() => "begins",
        _ => &running.phase,
    };
    if let Some(progress) = &running.progress {
        bar(html, progress);
        html.put(
            r#"<p class="facts">{}"#,
            &[&numbers(progress, running.speed)],
        );
        if !phase.is_empty() {
            html.put(" · {}", &[&phase]);
        }
        html.put("</p>", &[]);
    } else {
        html.put(r#"<p class="facts">{}</p>"#, &[&phase]);
    }
}

fn queued(html: &mut Html, view: &Overview, may: &May) {
    if view.queued.is_empty() && view.paused.is_empty() {
        return;
    }
    html.put(
        r#"<section aria-labelledby="h-queue"><h2 id="h-queue">Next</h2><ul class="lines" id="queue">"#,
        &[],
    );
    for job in view.queued.iter().chain(&view.paused) {
        html.put(r#"<li id="job-{}">"#, &[&job.id]);
        let state = match (&*job.state, job.next) {
            ("paused", _) => "paused".to_owned(),
            (_, Some(next)) => format!("again {}", distance(next)),
            _ => String::new(),
        };
        head(html, job, &state);
        if let Some(why) = &job.why {
            html.put(r#"<p class="why">{}</p>"#, &[why]);
        }
        deeds(html, may, job);
        html.put("</li>", &[]);
    }
    let counted = view.counts.queued + view.counts.paused;
    more(html, counted, view.queued.len() + view.paused.len());
    html.put("</ul></section>", &[]);
}

/// How many there are that are not shown.
fn more(html: &mut Html, count: u64, shown: usize) {
    let more = count.saturating_sub(shown as u64);
    if more > 0 {
        html.put(r#"<li class="none">and {} more</li>"#, &[&more]);
    }
}

fn accounts(html: &mut Html, view: &Overview) {
    html.put(
        r#"<section aria-labelledby="h-accounts"><h2 id="h-accounts">Accounts</h2><ul class="lines" id="accounts">"#,
        &[],
    );
    match &view.accounts {
        Ok(accounts) if accounts.is_empty() => {
            html.put(
                r#"<li class="none">No account has a name here. <code>chunkferry login NAME</code> logs one in.</li>"#,
                &[],
            );
        }
        Ok(accounts) => {
            accounts.iter().for_each(|of| account(html, of));
            more(
                html,
                (accounts.len() + view.hidden_accounts) as u64,
                accounts.len(),
            );
        }
        Err(why) => {
            html.put(
                r#"<li class="none">The logins cannot be read: {}</li>"#,
                &[why],
            );
        }
    }
    html.put("</ul></section>", &[]);
}

fn account(html: &mut Html, account: &Account) {
    let (named, jobs) = (&account.named, &account.jobs);
    let parked: u64 = jobs.parked.values().sum();
    let mark = match (&named.needs, parked) {
        (None, 0) => "good",
        _ => "bad",
    };
    html.put(
        r#"<li><div class="row"><span class="dot {}"></span><b>{}</b>"#,
        &[&mark, &named.name],
    );
    let counts = [
        (jobs.running, "on the way"),
        (jobs.queued, "next"),
        (jobs.paused, "paused"),
        (parked, "for a person"),
    ];
    let counts: Vec<String> = counts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    html.put(
        r#"<span class="right">{}</span></div>"#,
        &[&counts.join(" · ")],
    );
    match (&named.needs, named.ends) {
        (Some((why, login)), _) => {
            html.put(r#"<p class="why">{}"#, &[why]);
            if *login {
                html.put("</p><ul class=\"advice\">", &[]);
                advice::put(html, "log_in", &named.name);
                html.put("</ul>", &[]);
            } else {
                html.put("</p>", &[]);
            }
        }
        (None, Some(ends)) => {
            html.put(r#"<p class="facts">logged in until "#, &[]);
            time(html, ends);
            html.put(" unless renewed</p>", &[]);
        }
        (None, None) => {
            html.put(r#"<p class="facts">{}</p>"#, &[&source(named.source)]);
        }
    }
    html.put("</li>", &[]);
}

/// Where tokens come from.
fn source(key: &str) -> &str {
    match key {
        "token_file" => "token from a file",
        "token_command" => "token from a command",
        "login" => "login",
        "token_provider" => "token from the provider",
        other => other,
    }
}

fn ended(html: &mut Html, view: &Overview) {
    if view.ended.is_empty() {
        return;
    }
    html.put(
        r#"<section aria-labelledby="h-ended"><h2 id="h-ended">Lately</h2><ul class="lines" id="ended">"#,
        &[],
    );
    for Ended { id, notice, source } in &view.ended {
        let word = notice.end.as_ref().map_or("unknown", |end| &end.outcome);
        let (text, mark) = outcome(word);
        html.put(
            r#"<li><div class="row"><span class="dot {}"></span>"#,
            &[&mark],
        );
        match source {
            Some(source) => name(html, id, source),
            None => drop(html.put("<span>a forgotten job</span>", &[])),
        }
        html.put(r#"<span class="right">"#, &[]);
        time(html, notice.at);
        html.put(
            r#"</span></div><p class="facts">{} · {}</p></li>"#,
            &[&notice.account, &text],
        );
    }
    html.put("</ul></section>", &[]);
}

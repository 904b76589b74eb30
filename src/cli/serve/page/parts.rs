//! Pieces that several pages share: times, buttons, bars, and the frame.

use std::time::SystemTime;

use chunkferry::{JobRecord, Progress};

use super::html::Html;
use super::story::Speed;
use super::view::{May, apart};
use crate::gauge::clock;
use crate::size::humane;
use crate::words::{rfc3339, when};

/// The width of a bar's coordinates.
const WIDTH: u64 = 1000;

/// The head of each page, to its title.
const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{}</title>
<link rel="icon" href="/page.svg" type="image/svg+xml">
<link rel="stylesheet" href="/page.css">
"#;

/// A page that keeps itself fresh.
const LIVE: &str = r#"<script src="/page.js" defer></script>
<noscript><meta http-equiv="refresh" content="5"></noscript>
"#;

const TOP: &str = r#"</head>
<body>
<header class="top">
<a class="brand" href="/"><svg viewBox="0 0 16 16" aria-hidden="true"><rect width="16" height="16" rx="4"/><path d="M3 10.5h10M5 7.500h6M7 4.500h2"/></svg>chunkferry</a>
"#;

/// Begins a page; `live` is the address of its part that changes.
pub(super) fn begin(title: &str, may: Option<&May>, live: Option<&str>) -> Html {
    let mut html = Html::new();
    html.put(HEAD, &[&title]);
    if live.is_some() {
        html.put(LIVE, &[]);
    }
    html.put(TOP, &[]);
    if live.is_some() {
        html.put(r#"<p id="live" role="status" hidden></p>"#, &[]);
    }
    if let Some(may) = may {
        html.put("<nav>", &[]);
        if may.submit {
            html.put(
                r#"<a class="button primary" href="/new">Send a video</a>"#,
                &[],
            );
        }
        if may.leave {
            form(&mut html, may, "/logout", "Sign out", "quiet", "");
        }
        html.put("</nav>", &[]);
    }
    html.put(
        "</header>\n<p id=\"refused\" class=\"refused\" role=\"alert\" hidden></p>\n",
        &[],
    );
    if let Some(live) = live {
        html.put(r#"<main id="part" data-live="{}">"#, &[&live]);
    } else {
        html.put("<main>", &[]);
    }
    html
}

pub(super) fn end(html: &mut Html) {
    html.put("</main>\n</body>\n</html>\n", &[]);
}

/// A button that changes something: a form of its own, so that it works without a script. `question` is asked before, if there is one.
pub(super) fn form(
    html: &mut Html,
    may: &May,
    action: &str,
    label: &str,
    class: &str,
    question: &str,
) {
    html.put(
        r#"<form method="post" action="{}" data-ask="{}"><input type="hidden" name="csrf" value="{}"><button class="{}">{}</button></form>"#,
        &[&action, &question, &may.csrf, &class, &label],
    );
}

/// What may be done to a job.
pub(super) fn deeds(html: &mut Html, may: &May, job: &JobRecord) {
    if !may.submit || job.state == "ended" {
        return;
    }
    let path = |deed: &str| format!("/jobs/{}/{deed}", job.id);
    html.put(r#"<div class="deeds">"#, &[]);
    match &*job.state {
        "parked" => form(html, may, &path("retry"), "Try again", "primary", ""),
        "paused" => form(html, may, &path("retry"), "Resume", "primary", ""),
        "queued" if job.next.is_some() => form(html, may, &path("retry"), "Try now", "", ""),
        _ => {}
    }
    if matches!(&*job.state, "queued" | "running") {
        form(html, may, &path("pause"), "Pause", "", "");
    }
    let question =
        "Cancel this job? What was sent stays with TikTok until the upload's hour is over.";
    form(html, may, &path("cancel"), "Cancel", "quiet", question);
    html.put("</div>", &[]);
}

/// A time; the script shows it in the zone of the reader.
pub(super) fn time(html: &mut Html, at: SystemTime) {
    html.put(
        r#"<time datetime="{}">{}</time>"#,
        &[&rfc3339(at), &when(at)],
    );
}

/// How long ago a time was, or in how long it will be.
pub(super) fn distance(at: SystemTime) -> String {
    let (seconds, is_ahead) = apart(at);
    let text = match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    };
    match is_ahead {
        true => format!("in {text}"),
        false => format!("{text} ago"),
    }
}

/// The last part of a path, or a URL as it is.
pub(super) fn short(source: &str) -> &str {
    match source.contains("://") {
        true => source,
        false => source.rsplit('/').next().unwrap_or(source),
    }
}

/// A video's name, as a link to its job.
pub(super) fn name(html: &mut Html, id: &str, source: &str) {
    html.put(
        r#"<a class="name" href="/jobs/{}" title="{}">{}</a>"#,
        &[&id, &source, &short(source)],
    );
}

/// How far an upload is: what TikTok has acknowledged, and what is in flight.
pub(super) fn bar(html: &mut Html, progress: &Progress) {
    let at = |bytes: u64| WIDTH * bytes.min(progress.total) / progress.total.max(1);
    let (got, sent) = (at(progress.confirmed), at(progress.sent));
    let (have, total) = (humane(progress.confirmed), humane(progress.total));
    html.put(
        r#"<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label="{} of {}"><rect class="flight" width="{}" height="10"/><rect class="got" width="{}" height="10"/></svg>"#,
        &[&have, &total, &sent, &got],
    );
}

/// The numbers below a bar.
pub(super) fn numbers(progress: &Progress, speed: Option<Speed>) -> String {
    let (sent, total) = (humane(progress.sent), humane(progress.total));
    let mut text = match progress.sent >= progress.total {
        true => total,
        false => format!("{sent} of {total}"),
    };
    if let Some(speed) = speed.filter(|_| progress.sent < progress.total) {
        text = format!("{text} · {}/s", humane(speed.rate));
        if let Some(left) = speed.seconds_left {
            text = format!("{text} · {} left", clock(left));
        }
    }
    text
}

/// The share of a bar in words.
pub(super) fn share(progress: &Progress) -> String {
    let share = progress.confirmed as f64 / progress.total.max(1) as f64;
    format!("{:.0} %", (share * 100.0).floor())
}

/// An outcome as people say it, and whether it is a good one.
pub(super) fn outcome(word: &str) -> (&str, &'static str) {
    match word {
        "delivered" => ("in the inbox", "good"),
        "already_delivered" => ("was in the inbox already", "good"),
        "sent" => ("handed over", "good"),
        "cancelled" => ("cancelled", "soft"),
        "refused" => ("refused", "bad"),
        "usage" => ("not possible", "bad"),
        "source" => ("file not usable", "bad"),
        "source_changed" => ("file changed", "bad"),
        "needs_person" => ("nobody acted in time", "bad"),
        "temporary" => ("given up", "bad"),
        "unknown" => ("end unknown", "bad"),
        other => (other, "bad"),
    }
}

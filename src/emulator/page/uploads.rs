//! The uploads, each with a bar of the received bytes.

use std::fmt::Write;

use super::html::{Html, html, size, time};
use super::view::View;
use crate::log::{PutLog, SessionLog};

/// Most uploads on the page, the newest first.
const MOST_CARDS: usize = 20;
/// With more chunks than this the marks would form a grey block.
const MOST_TICKS: u64 = 120;
/// Width of the bar's coordinate system.
const WIDTH: u64 = 1000;

const CARD: &str = r#"<li class="card" id="up-{}" data-state="{}">
<div class="row"><code class="id">{}</code><span class="state">{}</span></div>
{}
<p class="facts">{}</p>{}</li>"#;

const BAR: &str = r#"<svg class="bar" viewBox="0 0 1000 12" preserveAspectRatio="none" role="img" aria-label="{} of {} received">
<rect class="got" width="{}" height="12"/><rect class="flight" x="{}" width="{}" height="12"/>
<path class="ticks" d="{}"/><path class="breaks" d="{}"/></svg>"#;

pub(super) fn cards(view: &View) -> Html {
    let newest = view.log.sessions.iter().rev().take(MOST_CARDS);
    let cards: Html = newest.map(card).collect();
    match cards.is_empty() {
        true => html!("<li class=\"none\">No uploads yet.</li>"),
        false => cards,
    }
}

fn card(session: &SessionLog) -> Html {
    let id = &session.publish_id;
    let why = session.fail_reason.as_ref();
    let remarks: Html = troubles(session)
        .chain(why.map(|why| html!("<li>{}</li>", why)))
        .collect();
    let remarks = match remarks.is_empty() {
        true => remarks,
        false => html!("<ul class=\"troubles\">{}</ul>", remarks),
    };
    html!(
        CARD,
        id,
        state(session),
        id,
        session.status,
        session.video_size.map(|total| bar(session, total)),
        facts(session),
        remarks
    )
}

fn state(session: &SessionLog) -> &'static str {
    match &*session.status {
        _ if session.orphan => "orphan",
        "SEND_TO_USER_INBOX" if session.discarded => "discarded",
        "SEND_TO_USER_INBOX" => "delivered",
        "PUBLISH_COMPLETE" => "posted",
        "FAILED" => "failed",
        _ if session.completed_at.is_some() => "processing",
        _ => "arriving",
    }
}

fn facts(session: &SessionLog) -> Html {
    let mut facts = vec![session.creator.clone()];
    match (
        session.video_size,
        session.chunk_size,
        session.total_chunk_count,
    ) {
        (Some(total), Some(chunk), Some(count)) => {
            facts.push(match session.received == total {
                true => size(total),
                false => format!("{} of {}", size(session.received), size(total)),
            });
            facts.push(match count {
                1 => "sent whole".to_owned(),
                _ => format!("{count} chunks of {}", size(chunk)),
            });
            facts.push(match session.puts.len() {
                1 => "1 PUT".to_owned(),
                puts => format!("{puts} PUTs"),
            });
        }
        _ => facts.push(format!("{} fetched", size(session.received))),
    }
    if session.orphan {
        facts.push("no client knows it".to_owned());
    }
    let arriving = state(session) == "arriving" && session.video_size.is_some();
    let until = arriving.then(|| html!(" · URL lives until {}", time(session.expires_at)));
    html!("{}{}", facts.join(" · "), until)
}

/// The last refusals and broken requests.
fn troubles(session: &SessionLog) -> impl Iterator<Item = Html> {
    let chunk = session.chunk_size.unwrap_or(1).max(1);
    let last = session.total_chunk_count.unwrap_or(1).saturating_sub(1);
    let bad = session
        .puts
        .iter()
        .filter(|put| is_broken(put))
        .rev()
        .take(3);
    bad.map(move |put| {
        let which = put.first.map(|first| (first / chunk).min(last));
        let which = which.map_or_else(|| "a PUT".to_owned(), |which| format!("chunk {which}"));
        let ended = match put.http_status {
            Some(status) => format!("{status}"),
            None => format!("no answer after {}", size(put.bytes)),
        };
        let why = put
            .fault
            .as_ref()
            .map(|fault| html!(" <code>{}</code>", fault));
        let why = why.or_else(|| put.why.as_ref().map(|why| html!(": {}", why)));
        html!("<li>{}, {}{}</li>", which, ended, why)
    })
}

fn is_broken(put: &PutLog) -> bool {
    !put.open && put.http_status.is_none_or(|status| status >= 300)
}

fn bar(session: &SessionLog, total: u64) -> Html {
    let at = |bytes: u64| WIDTH * bytes.min(total) / total.max(1);
    let flight = session.puts.iter().rev().find(|put| put.open);
    let (from, to) = flight.map_or((0, 0), |put| {
        let first = put.first.unwrap_or(session.received);
        (first, first + put.bytes)
    });
    let (chunk, count) = (
        session.chunk_size.unwrap_or(total),
        session.total_chunk_count.unwrap_or(1),
    );
    let borders = (1..count)
        .filter(|_| count <= MOST_TICKS)
        .map(|index| index * chunk);
    let broken = session.puts.iter().filter(|put| is_broken(put));
    let broken = broken.map(|put| put.first.unwrap_or(0) + put.bytes);
    html!(
        BAR,
        size(session.received),
        size(total),
        at(session.received),
        at(from),
        at(to) - at(from),
        strokes(borders.map(at)),
        strokes(broken.map(at))
    )
}

/// A vertical line at each place.
fn strokes(places: impl Iterator<Item = u64>) -> String {
    places.fold(String::new(), |mut path, place| {
        // Writing to a string does not fail.
        let _ = write!(path, "M{place} 0v12");
        path
    })
}

//! Incoming requests and outgoing webhooks.

use super::html::{Html, html, time};
use super::view::View;
use crate::log::{RequestLog, WebhookLog};

const MOST_LINES: usize = 60;
const MOST_WEBHOOKS: usize = 20;

const LINE: &str = r#"<li id="r-{}" data-kind="{}">{}<span class="what" title="{}">{}</span><span class="who">{}</span><span class="answer">{}</span>{}</li>"#;

const WEBHOOK: &str = r#"<li data-kind="{}">{}<span class="what">{}</span><span class="who">{}</span><span class="answer">{}</span></li>"#;

const NO_WEBHOOKS: &str = r#"<li class="none">None so far. <code>PUT /_emulator/webhooks</code> says where they go.</li>"#;

/// The last requests, the newest first; equal requests in a row share one line.
pub(super) fn requests(view: &View) -> Html {
    let mut lines: Vec<Line<'_>> = Vec::new();
    for request in view.log.recent.iter().rev() {
        if let Some(line) = lines
            .last_mut()
            .filter(|line| is_alike(line.newest, request))
        {
            line.oldest = request.number;
            line.times += 1;
        } else if lines.len() == MOST_LINES {
            break;
        } else {
            lines.push(Line {
                newest: request,
                oldest: request.number,
                times: 1,
            });
        }
    }
    match lines.is_empty() {
        true => html!("<li class=\"none\">No requests yet.</li>"),
        false => lines.into_iter().map(line).collect(),
    }
}

/// Equal requests in a row, placed by the oldest one, so that the line stays in place while it grows.
struct Line<'a> {
    newest: &'a RequestLog,
    oldest: u64,
    times: u64,
}

fn is_alike(one: &RequestLog, other: &RequestLog) -> bool {
    let key = |request: &RequestLog| {
        (
            request.path.clone(),
            request.creator.clone(),
            request.http_status,
            request.chunk,
        )
    };
    let plain = |request: &RequestLog| request.fault.is_none() && !request.open;
    plain(one) && plain(other) && key(one) == key(other)
}

fn line(line: Line<'_>) -> Html {
    let Line {
        newest: request,
        oldest,
        times,
    } = line;
    let what = match request.chunk {
        Some(chunk) => format!("PUT chunk {chunk}"),
        None => {
            let path = request.path.strip_prefix("/v2/").unwrap_or(&request.path);
            let path = path.strip_prefix("post/publish/").unwrap_or(path);
            format!("{} {path}", request.method)
        }
    };
    let (kind, answer) = match (request.http_status, request.open) {
        (_, true) => ("open", "…".to_owned()),
        (None, false) => ("none", "no answer".to_owned()),
        (Some(status @ 400..), _) => ("bad", status.to_string()),
        (Some(status), _) => ("good", status.to_string()),
    };
    let answer = match times {
        1 => answer,
        times => format!("{times} × {answer}"),
    };
    let fault = request.fault.as_ref();
    html!(
        LINE,
        oldest,
        kind,
        time(request.at),
        request.client,
        what,
        request.creator,
        answer,
        fault.map(|fault| html!("<span class=\"fault\">{}</span>", fault))
    )
}

/// The last attempts to deliver an event, the newest first.
pub(super) fn webhooks(view: &View) -> Html {
    let last = view.log.webhooks.iter().rev().take(MOST_WEBHOOKS);
    let lines: Html = last.map(webhook).collect();
    match lines.is_empty() {
        true => html!(NO_WEBHOOKS),
        false => lines,
    }
}

fn webhook(sent: &WebhookLog) -> Html {
    let (kind, answer) = match sent.http_status {
        Some(200) => ("good", "200".to_owned()),
        Some(status) => ("bad", status.to_string()),
        None => {
            let why = sent.why.as_deref().unwrap_or("no answer");
            ("none", why.to_owned())
        }
    };
    let (creator, host) = (&sent.creator, &sent.host);
    let way = match sent.attempt {
        1 => format!("{creator} → {host}"),
        attempt => format!("{creator} → {host}, attempt {attempt}"),
    };
    html!(WEBHOOK, kind, time(sent.at), sent.event, way, answer)
}

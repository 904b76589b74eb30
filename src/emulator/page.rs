//! The page at `/`: the creators' view of the uploads, and the server's own view.
//!
//! It shows the same values as the JSON pages below `/_emulator`, without any token or upload URL. Its buttons call
//! those pages, too.

mod consent;
mod desk;
mod html;
mod inbox;
mod live;
mod parts;
mod settings;
mod traffic;
mod uploads;
mod view;

use std::sync::Arc;

use axum::response::Response;
pub(crate) use consent::ask;
use hyper::header::{CONTENT_SECURITY_POLICY, HeaderValue, REFERRER_POLICY};
use hyper::http::request::Parts;

use super::answer::text_answer;
use super::creator::short_hash;
use super::shared::Shared;
use html::{Html, html};
use view::View;

const PAGE: &str = include_str!("page/page.html");
const STYLE: &str = include_str!("page/page.css");
const AVATAR: &str = include_str!("page/avatar.svg");
const SCRIPT: &str = include_str!("page/page.js");

const EMBED: &str = r#"<blockquote cite="{}"><a href="{}">{}</a></blockquote>"#;

/// Nothing may load from other hosts, and injected markup could not run.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self' data:; media-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Answers a request for the page or one of its files; `None` if there is no such file.
pub(crate) fn answer(shared: &Arc<Shared>, parts: &Parts) -> Option<Response> {
    let path = parts.uri.path();
    if let Some(name) = path.strip_prefix("/_emulator/avatar/") {
        return Some(text_answer(200, "image/svg+xml", avatar(name)));
    }
    Some(match path {
        "/" => page(&index(&View::ask(shared, parts))),
        "/_emulator/page.css" => text_answer(200, "text/css; charset=utf-8", STYLE),
        "/_emulator/page.js" => text_answer(200, "text/javascript; charset=utf-8", SCRIPT),
        "/_emulator/events" => live::events(Arc::clone(shared), parts),
        _ => return None,
    })
}

fn index(view: &View) -> Html {
    let [
        summary,
        news,
        inbox,
        uploads,
        requests,
        webhooks,
        review,
        faults,
        settings,
    ] = parts::parts(view).map(|(_, part)| part);
    html!(
        PAGE,
        view.origin,
        summary,
        news,
        inbox,
        uploads,
        requests,
        webhooks,
        review,
        faults,
        settings
    )
}

/// Markup that other pages can embed; it links to a post here.
pub(crate) fn embed(url: &str, title: &str) -> String {
    html!(EMBED, url, url, title).into_text()
}

/// A whole page.
fn page(html: &Html) -> Response {
    let mut response = text_answer(200, "text/html; charset=utf-8", html.text().to_owned());
    let headers = response.headers_mut();
    headers.insert("cache-control", HeaderValue::from_static("no-store"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    // The address of a consent page contains the client's state.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

/// The first letter of a name on a colour of its own.
fn avatar(name: &str) -> String {
    let first = name.chars().next().filter(char::is_ascii_alphanumeric);
    let letter = first.map_or('?', |first| first.to_ascii_uppercase());
    let hue = u64::from(short_hash(name) % 360);
    html!(AVATAR, hue, letter.to_string()).into_text()
}

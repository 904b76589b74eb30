//! The page on which a creator lets an app in, or does not.

use axum::response::Response;

use super::html::{Html, html};
use crate::consent::Wish;

const CONSENT: &str = include_str!("consent.html");

/// Asks for the answer to an app's wish; `query` is the wish as it came.
pub(crate) fn ask(wish: &Wish<'_>, query: &str, known: &[String], last: Option<&str>) -> Response {
    let scopes: Html = wish.scopes.split(',').map(scope).collect();
    let known_names: Html = known
        .iter()
        .map(|name| html!("<option value=\"{}\">", name))
        .collect();
    let first = known.first().map(String::as_str);
    let creator = wish.creator().or(last).or(first).unwrap_or("creator");
    super::page(&html!(
        CONSENT,
        wish.client_key,
        query,
        wish.client_key,
        scopes,
        creator,
        known_names,
        wish.redirect_uri
    ))
}

fn scope(scope: &str) -> Html {
    let what = match scope {
        "user.info.basic" => "Know who you are",
        "user.info.profile" => "See your profile",
        "user.info.stats" => "See your counts",
        "video.list" => "See your public videos",
        "video.publish" => "Post to your account",
        "video.upload" => "Put drafts into your inbox",
        _ => "Do something else",
    };
    html!("<li>{} <code>{}</code></li>", what, scope)
}

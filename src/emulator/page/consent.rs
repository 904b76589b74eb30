//! The page on which a creator grants or refuses an app's request.

use axum::response::Response;

use super::html::{Html, html};
use crate::consent::Wish;

const CONSENT: &str = include_str!("consent.html");

/// Asks the creator; `query` is the app's request as it arrived.
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

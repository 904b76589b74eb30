//! The calls that list a creator's public videos: those that were posted here.

use serde_json::{Value, json};

use super::answer::{Outcome, Refusal};
use super::call::Call;
use super::creator_info::{avatar_url, page_url};
use super::endpoint::Endpoint;
use super::fields::{Field, chosen, object};
use super::page;
use super::service::Service;
use super::session::Session;
use super::settings::Settings;

/// Most videos in one answer, also the default of `video/list`.
const MOST: u64 = 20;
const USUAL: u64 = 10;

/// A public video, as the API describes one.
struct Video {
    id: String,
    /// Unix milliseconds.
    posted: u64,
    title: String,
    cover_url: String,
    /// The page of this server that shows the video.
    page_url: String,
    /// The video itself, or its page if the video was not kept.
    embed_url: String,
}

/// The documented fields. This server does not decode videos, so their measures are 0; so are their views.
const FIELDS: [Field<Video>; 15] = [
    field("id", |video| json!(video.id)),
    field("create_time", |video| json!(video.posted / 1000)),
    field("cover_image_url", |video| json!(video.cover_url)),
    field("share_url", |video| json!(video.page_url)),
    field("video_description", |video| json!(video.title)),
    field("duration", |_| json!(0)),
    field("height", |_| json!(0)),
    field("width", |_| json!(0)),
    field("title", |video| json!(video.title)),
    field("embed_html", |video| {
        json!(page::embed(&video.page_url, &video.title))
    }),
    field("embed_link", |video| json!(video.embed_url)),
    field("like_count", |_| json!(0)),
    field("comment_count", |_| json!(0)),
    field("share_count", |_| json!(0)),
    field("view_count", |_| json!(0)),
];

const fn field(name: &'static str, value: fn(&Video) -> Value) -> Field<Video> {
    let scope = "video.list";
    Field { name, scope, value }
}

/// Lists the creator's public videos, the newest first: `/v2/video/list/` (D).
pub(crate) fn list(service: &Service, call: &Call, token: &str, settings: &Settings) -> Outcome {
    let fields = chosen(&FIELDS, &call.query, token, service, settings)?;
    let body = match call.body.is_empty() {
        true => json!({}),
        false => call.json(settings)?,
    };
    let count = number(&body, "max_count")?.unwrap_or(USUAL);
    if !(1..=MOST).contains(&count) {
        return Err(Refusal::param(format!("max_count must be 1 to {MOST}")));
    }
    // Clients also request the first page with a cursor of 0 (F).
    let before = number(&body, "cursor")?.filter(|cursor| *cursor > 0);
    let older = |(posted, _): &(u64, &Session)| before.is_none_or(|before| *posted < before);
    let mut found = posted(service, call.creator()).into_iter().filter(older);
    let page: Vec<_> = found.by_ref().take(count as usize).collect();
    let last = page.last().map(|(posted, _)| *posted);
    let described = |(posted, session): &(u64, &Session)| {
        object(&fields, &Video::new(session, *posted, &call.origin))
    };
    Ok(json!({
        "videos": page.iter().map(described).collect::<Vec<_>>(),
        "cursor": last.or(before).unwrap_or(0),
        "has_more": found.next().is_some(),
    }))
}

/// Finds the creator's public videos with given ids: `/v2/video/query/` (D).
pub(crate) fn query(service: &Service, call: &Call, token: &str, settings: &Settings) -> Outcome {
    let fields = chosen(&FIELDS, &call.query, token, service, settings)?;
    let body = call.json(settings)?;
    let ids = body.pointer("/filters/video_ids").and_then(Value::as_array);
    let ids: Option<Vec<&str>> = ids.and_then(|ids| ids.iter().map(Value::as_str).collect());
    let ids = ids.filter(|ids| (1..=MOST as usize).contains(&ids.len()));
    let ids = ids.ok_or_else(|| {
        let why = format!("filters.video_ids must be a list of 1 to {MOST} ids, as text");
        Refusal::param(why)
    })?;
    let found = posted(service, call.creator()).into_iter();
    let asked = found.filter(|(_, session)| ids.contains(&&*session.post_id().to_string()));
    let described =
        asked.map(|(posted, session)| object(&fields, &Video::new(session, posted, &call.origin)));
    Ok(json!({ "videos": described.collect::<Vec<_>>() }))
}

/// An optional int64 of a body.
fn number(body: &Value, key: &str) -> Result<Option<u64>, Refusal> {
    match body.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_u64() {
            Some(number) => Ok(Some(number)),
            None => Err(Refusal::param(format!(
                "{key} must be a whole number that is not negative"
            ))),
        },
    }
}

impl Video {
    fn new(session: &Session, posted: u64, origin: &str) -> Self {
        let name = &session.shown_creator;
        let page_url = format!("{}#note-{}", page_url(origin, name), session.publish_id);
        let media = session.media().into_iter().next();
        Self {
            id: session.post_id().to_string(),
            posted,
            title: session.title.clone().unwrap_or_default(),
            cover_url: avatar_url(origin, name),
            embed_url: media.map_or_else(|| page_url.clone(), |path| format!("{origin}{path}")),
            page_url,
        }
    }
}

/// The public videos of a creator with the Unix milliseconds of their posts, the newest first.
///
/// All times differ, since a cursor is such a time and must not skip or repeat a video: of videos posted in one
/// millisecond, each counts a millisecond later than the one before.
pub(super) fn posted<'a>(service: &'a Service, creator: &str) -> Vec<(u64, &'a Session)> {
    let now = service.now();
    let theirs = service.sessions.values().filter(|session| {
        session.public && session.creator == creator && session.endpoint != Endpoint::PhotoInit
    });
    let mut found: Vec<_> = theirs
        .filter_map(|session| {
            let settings = service.settings(Some(&session.token));
            Some((session.posted_at(now, &settings)?, session))
        })
        .collect();
    // Videos of one moment stay in the order of their inits.
    found.sort_by_key(|(at, _)| *at);
    let mut last = 0;
    let mut timed: Vec<_> = found
        .into_iter()
        .map(|(at, session)| {
            last = service.clock.unix_millis(at).max(last + 1);
            (last, session)
        })
        .collect();
    timed.reverse();
    timed
}

//! The calls that describe a creator, and what the creator may post.

use serde_json::{Value, json};
use url::form_urlencoded;

use super::answer::{Outcome, Refusal};
use super::call::Call;
use super::caps::check_daily_posts;
use super::creator::open_id;
use super::fields::{Field, chosen, object};
use super::rules::PRIVACY_LEVELS;
use super::service::Service;
use super::settings::Settings;
use super::videos::posted;

/// What a creator may post now: `/v2/post/publish/creator_info/query/` (D CI).
pub(crate) fn creator_info(service: &mut Service, call: &Call, settings: &Settings) -> Outcome {
    check_daily_posts(service, call, settings).map_err(Refusal::under_200)?;
    let name = call.shown_creator();
    Ok(json!({
        "creator_avatar_url": avatar_url(&call.origin, &name),
        "creator_username": name,
        "creator_nickname": name,
        "privacy_level_options": PRIVACY_LEVELS,
        "comment_disabled": false,
        "duet_disabled": false,
        "stitch_disabled": false,
        "max_video_post_duration_sec": 300,
    }))
}

/// A creator as user/info describes them.
struct Person {
    creator: String,
    name: String,
    avatar_url: String,
    page_url: String,
    videos: usize,
}

/// The documented fields of user/info, and `profile_web_link`, which clients request, too (F). Followers and likes are
/// always 0.
const FIELDS: [Field<Person>; 15] = [
    basic("open_id", |person| json!(open_id(&person.creator))),
    basic("union_id", |person| {
        json!(open_id(&format!("union {}", person.name)))
    }),
    basic("avatar_url", |person| json!(person.avatar_url)),
    basic("avatar_url_100", |person| json!(person.avatar_url)),
    basic("avatar_large_url", |person| json!(person.avatar_url)),
    basic("display_name", |person| json!(person.name)),
    profile("bio_description", |person| {
        json!(format!("{} is a creator of this emulator.", person.name))
    }),
    profile("profile_deep_link", |person| json!(person.page_url)),
    profile("profile_web_link", |person| json!(person.page_url)),
    profile("is_verified", |_| json!(false)),
    profile("username", |person| json!(person.name)),
    stats("follower_count", |_| json!(0)),
    stats("following_count", |_| json!(0)),
    stats("likes_count", |_| json!(0)),
    stats("video_count", |person| json!(person.videos)),
];

const fn basic(name: &'static str, value: fn(&Person) -> Value) -> Field<Person> {
    let scope = "user.info.basic";
    Field { name, scope, value }
}

const fn profile(name: &'static str, value: fn(&Person) -> Value) -> Field<Person> {
    let scope = "user.info.profile";
    Field { name, scope, value }
}

const fn stats(name: &'static str, value: fn(&Person) -> Value) -> Field<Person> {
    let scope = "user.info.stats";
    Field { name, scope, value }
}

/// The creator's profile: `GET /v2/user/info/?fields=…` (D).
pub(crate) fn user_info(
    service: &Service,
    call: &Call,
    token: &str,
    settings: &Settings,
) -> Outcome {
    let fields = chosen(&FIELDS, &call.query, token, service, settings)?;
    let name = call.shown_creator();
    let person = Person {
        creator: call.creator().to_owned(),
        avatar_url: avatar_url(&call.origin, &name),
        page_url: page_url(&call.origin, &name),
        name,
        videos: posted(service, call.creator()).len(),
    };
    Ok(json!({ "user": object(&fields, &person) }))
}

/// URL of a creator's picture, which this server draws.
pub(super) fn avatar_url(origin: &str, name: &str) -> String {
    format!("{origin}/_emulator/avatar/{}", encoded(name))
}

/// URL of this server's page for one creator.
pub(super) fn page_url(origin: &str, name: &str) -> String {
    format!("{origin}/?creator={}", encoded(name))
}

fn encoded(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect()
}

//! The calls that tell who a creator is and what they may post.

use serde_json::{Map, json};
use url::form_urlencoded;

use super::answer::{Outcome, Refusal};
use super::call::Call;
use super::caps::check_daily_posts;
use super::creator::{open_id, public_name};
use super::rules::PRIVACY_LEVELS;
use super::settings::Settings;
use super::tokens::Unfit;
use super::world::World;

/// What a creator may post now: `/v2/post/publish/creator_info/query/` (D CI).
pub(crate) fn creator_info(world: &mut World, call: &Call, settings: &Settings) -> Outcome {
    check_daily_posts(world, call, settings).map_err(Refusal::under_200)?;
    let name = public_name(call.creator(), call.token.as_deref().unwrap_or_default());
    Ok(json!({
        "creator_avatar_url": format!("{}/_emulator/avatar/{name}", call.origin),
        "creator_username": name,
        "creator_nickname": name,
        "privacy_level_options": PRIVACY_LEVELS,
        "comment_disabled": false,
        "duet_disabled": false,
        "stitch_disabled": false,
        "max_video_post_duration_sec": 300,
    }))
}

/// Who the creator is: `GET /v2/user/info/?fields=…`; a field a token's scopes do not cover is
/// `scope_permission_missed` (D ERR).
pub(crate) fn user_info(
    world: &mut World,
    call: &Call,
    token: &str,
    settings: &Settings,
) -> Outcome {
    let mut query = form_urlencoded::parse(call.query.as_bytes());
    let fields = query.find_map(|(key, value)| (key == "fields").then_some(value));
    let fields = fields.filter(|fields| !fields.is_empty());
    let fields = fields.ok_or_else(|| Refusal::param("fields is required"))?;
    let name = public_name(call.creator(), token);
    let mut user = Map::new();
    for field in fields.split(',') {
        let (scope, value) = match field {
            "open_id" => ("user.info.basic", json!(open_id(call.creator()))),
            "union_id" => ("user.info.basic", json!(open_id(&format!("union {name}")))),
            "display_name" => ("user.info.basic", json!(name)),
            "avatar_url" => (
                "user.info.basic",
                json!(format!("{}/_emulator/avatar/{name}", call.origin)),
            ),
            "username" => ("user.info.profile", json!(name)),
            "video_count" => ("user.info.stats", json!(0)),
            other => return Err(Refusal::param(format!("{other} is no field"))),
        };
        let fit = world.tokens.admit(token, &[scope], world.now(), settings);
        if fit == Err(Unfit::Scope) {
            return Err(Refusal::new(
                "scope_permission_missed",
                format!("{field} needs the scope {scope}"),
            ));
        }
        user.insert(field.to_owned(), value);
    }
    Ok(json!({ "user": user }))
}

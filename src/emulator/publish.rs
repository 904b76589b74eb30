//! The calls that start an upload and tell how it is doing.

use serde_json::{Value, json};

use super::answer::{Outcome, Refusal};
use super::call::Call;
use super::endpoint::Endpoint;
use super::rules::{judge_plan, legal_under_both_readings};
use super::session::{Session, Source};
use super::settings::{InboxPostInfo, RefusedInit, Settings};
use super::world::World;

/// An inbox draft: `/v2/post/publish/inbox/video/init/` (D UP).
pub(crate) fn inbox_init(
    world: &mut World,
    call: &Call,
    token: &str,
    settings: &Settings,
) -> Outcome {
    let body = call.json()?;
    let source_info = source_info(&body)?;
    let source = source(source_info, settings)?;
    check_pending(world, call, settings)?;
    if let Source::Upload(plan) = &source
        && let Err(remark) = legal_under_both_readings(plan)
    {
        world.note(call.endpoint, remark);
    }
    let mut session = Session::new(Endpoint::InboxInit, source, world.now(), settings);
    if settings.inbox_post_info == InboxPostInfo::ApplyTitle {
        let title = body.pointer("/post_info/title").and_then(Value::as_str);
        session.title = title.map(str::to_owned);
    }
    Ok(open(world, call, token, session))
}

/// How an upload is doing: `/v2/post/publish/status/fetch/` (D ST).
pub(crate) fn status(world: &mut World, call: &Call, settings: &Settings) -> Outcome {
    let body = call.json()?;
    let number = owned(world, call, &body, settings)?;
    Ok(world.sessions[&number].status_data(world.now(), settings))
}

/// The upload a call names, if it is its creator's to name.
fn owned(world: &World, call: &Call, body: &Value, settings: &Settings) -> Result<u64, Refusal> {
    let Some(publish_id) = body.get("publish_id").and_then(Value::as_str) else {
        return Err(Refusal::param("publish_id is required"));
    };
    let found = world.by_publish_id(publish_id).and_then(|number| {
        let session = world.sessions.get(&number)?;
        let age = world.now().since(session.issued);
        let known = settings.publish_id_ttl.is_none_or(|ttl| age < ttl);
        known.then_some((number, session))
    });
    let Some((number, session)) = found else {
        return Err(Refusal::new(
            "invalid_publish_id",
            "The publish_id does not exist",
        ));
    };
    match session.creator == call.creator() {
        true => Ok(number),
        false => Err(Refusal::new(
            "token_not_authorized_for_specified_publish_id",
            "The publish_id belongs to another creator",
        )),
    }
}

fn source_info(body: &Value) -> Result<&Value, Refusal> {
    body.get("source_info")
        .filter(|info| info.is_object())
        .ok_or_else(|| Refusal::param("source_info is required"))
}

fn source(source_info: &Value, settings: &Settings) -> Result<Source, Refusal> {
    match source_info.get("source").and_then(Value::as_str) {
        Some("FILE_UPLOAD") => judge_plan(source_info, settings).map(Source::Upload),
        Some(_) => Err(Refusal::param("source must be FILE_UPLOAD")),
        None => Err(Refusal::param("source is required")),
    }
}

/// At most five un-posted shares within 24 hours (D UP).
fn check_pending(world: &mut World, call: &Call, settings: &Settings) -> Result<(), Refusal> {
    if !settings.limited() || world.pending(call.creator(), settings) < settings.pending_cap {
        return Ok(());
    }
    world.note(
        call.endpoint,
        format!(
            "{} shares of this creator are pending: use a fresh token or limits=off",
            settings.pending_cap
        ),
    );
    Err(Refusal::new(
        "spam_risk_too_many_pending_share",
        "Too many shares wait in the creator's inbox",
    ))
}

fn open(world: &mut World, call: &Call, token: &str, session: Session) -> Value {
    let number = world.open(token, session);
    let session = &world.sessions[&number];
    match session.source {
        Source::Upload(_) => json!({
            "publish_id": session.publish_id,
            "upload_url": format!(
                "{}/video/?upload_id={}&upload_token={}",
                call.origin, session.upload_id, session.upload_token
            ),
        }),
        Source::Pull => json!({ "publish_id": session.publish_id }),
    }
}

/// Leaves behind what a refused init may have created (O-12): a task nobody was told of.
pub(crate) fn leave_orphan(world: &mut World, call: &Call, status: u16, settings: &Settings) {
    let created = status == 400 || status >= 500;
    let Some(token) = call.token.as_deref().filter(|_| created) else {
        return;
    };
    if call.endpoint.is_init() && settings.refused_init == RefusedInit::Task {
        let mut session = Session::new(call.endpoint, Source::Pull, world.now(), settings);
        session.orphan = true;
        world.open(token, session);
    }
}

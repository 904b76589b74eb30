//! The phones: each creator's notifications, to view, post or discard.

use super::html::{Html, html, size, time};
use super::view::View;
use crate::log::SessionLog;

/// Most phones on the page; `?creator=NAME` shows any other.
const MOST_PHONES: usize = 6;
/// Most drafts on one phone.
const MOST_NOTES: usize = 12;

const PHONE: &str = r#"<article class="phone" id="phone-{}" aria-label="Inbox of {}">
<header><img class="avatar" src="/_emulator/avatar/{}" alt="" width="36" height="36">
<div><h3>{}</h3><p>{}</p></div></header>
<ol class="notes">{}</ol>
</article>"#;

const EMPTY: &str = r#"<article class="phone" id="phone">
<header><span class="avatar"></span><div><h3>Inbox</h3><p>nobody yet</p></div></header>
<div class="hint"><p>Upload something, and it appears here as the creator sees it:</p>
<pre><code>TIKTOK_ACCESS_TOKEN=act.lena.1 \
chunkferry upload clip.mp4 \
  --api-base {}</code></pre>
<p>Any client will do. The token <code>act.lena.1</code> makes it Lena's inbox.</p></div>
</article>"#;

const NOTE: &str = r#"<li class="note" id="note-{}" data-state="{}">
<p class="lead"><span>{}</span>{}</p>
{}{}{}</li>"#;

const VIDEO: &str = r#"<video src="{}" controls playsinline loop preload="metadata" aria-label="The video of {}"></video>"#;

const DEEDS: &str = r#"<div class="deeds">
<button class="primary" data-post="post" data-id="{}">Post</button>
<button data-post="discard" data-id="{}">Discard</button></div>"#;

const POSTED: &str = r#"<div class="deeds"><span>Public post <code>{}</code></span>
<button data-post="unpublish" data-id="{}">Take back</button></div>"#;

/// The announcement for screen readers when a draft arrives.
pub(super) fn news(view: &View) -> Html {
    let waiting = |session: &&SessionLog| session.waiting;
    match view.log.sessions.iter().rev().find(waiting) {
        Some(newest) => html!(
            "New in the inbox of {}: {}, {}",
            newest.creator,
            noun(newest),
            size(newest.received)
        ),
        None => Html::default(),
    }
}

/// The inboxes of the creators with the latest events.
pub(super) fn phones(view: &View) -> Html {
    let mut creators: Vec<&str> = Vec::new();
    for session in view.log.sessions.iter().rev().filter(|one| !one.orphan) {
        if !creators.contains(&&*session.creator) {
            creators.push(&session.creator);
        }
    }
    creators.truncate(MOST_PHONES);
    // Phones keep their places while uploads come and go.
    creators.sort_unstable();
    match creators.is_empty() {
        true => html!(EMPTY, view.origin),
        false => creators.iter().map(|name| phone(view, name)).collect(),
    }
}

fn phone(view: &View, creator: &str) -> Html {
    let theirs = |session: &&SessionLog| session.creator == creator && !session.orphan;
    let arrived = |session: &&SessionLog| is_shown(session);
    let sessions = view.log.sessions.iter().rev().filter(theirs);
    let notes: Html = sessions
        .clone()
        .filter(arrived)
        .take(MOST_NOTES)
        .map(note)
        .collect();
    let waiting = sessions.clone().filter(|session| session.waiting).count();
    let under_way = sessions
        .filter(|session| session.status.starts_with("PROCESSING"))
        .count();
    let state = match (waiting, under_way) {
        (0, 0) => "nothing waits".to_owned(),
        (0, 1) => "a video is on its way".to_owned(),
        (0, _) => format!("{under_way} videos are on their way"),
        (1, _) => "1 draft waits".to_owned(),
        (_, _) => format!("{waiting} drafts wait"),
    };
    let notes = match notes.is_empty() {
        true => html!("<li class=\"hint\"><p>Nothing here yet.</p></li>"),
        false => notes,
    };
    html!(PHONE, creator, creator, creator, creator, state, notes)
}

/// Whether the creator sees the upload: drafts, and posts made for the creator.
fn is_shown(session: &SessionLog) -> bool {
    matches!(&*session.status, "SEND_TO_USER_INBOX" | "PUBLISH_COMPLETE")
}

fn noun(session: &SessionLog) -> &'static str {
    match session.endpoint.starts_with("photo") {
        true => "a photo post",
        false => "a video",
    }
}

fn note(session: &SessionLog) -> Html {
    let id = &session.publish_id;
    let posted = session.status == "PUBLISH_COMPLETE";
    let (state, lead) = match (session.waiting, session.discarded, posted) {
        (true, ..) => (
            "waiting",
            format!("An app sent you {}. Review and post it.", noun(session)),
        ),
        (_, true, _) => ("discarded", "You discarded this draft.".to_owned()),
        (_, _, true) => ("posted", "Posted.".to_owned()),
        (false, false, false) => ("gone", "This draft is no longer in the inbox.".to_owned()),
    };
    let deeds = match (session.waiting, session.post_id) {
        (true, _) => html!(DEEDS, id, id),
        (false, Some(post_id)) => html!(POSTED, post_id, id),
        (false, None) if posted => html!("<div class=\"deeds\"><span>Not public</span></div>"),
        (false, None) => Html::default(),
    };
    let title = session
        .title
        .as_ref()
        .map(|title| html!("<b>{}</b>", title));
    let text = session.description.as_ref().map(|text| html!(" {}", text));
    let caption = match title.is_some() || text.is_some() {
        true => html!("<p class=\"caption\">{}{}</p>", title, text),
        false => Html::default(),
    };
    let at = time(session.completed_at.unwrap_or(session.issued_at));
    html!(NOTE, id, state, lead, at, media(session), caption, deeds)
}

/// The video or the photos, or why they cannot be shown.
fn media(session: &SessionLog) -> Html {
    if let Some(why) = &session.not_kept {
        let said = html!("<p>{} of {}.</p>", size(session.received), noun(session));
        return html!("<div class=\"unseen\">{}<p>{}</p></div>", said, why);
    }
    if session.discarded {
        return Html::default();
    }
    match session.endpoint.starts_with("photo") {
        true => {
            let photo =
                |path: &String| html!("<img src=\"{}\" alt=\"Photo\" loading=\"lazy\">", path);
            let photos: Html = session.media.iter().map(photo).collect();
            html!("<div class=\"photos\" tabindex=\"0\">{}</div>", photos)
        }
        false => {
            let video = |path: &String| html!(VIDEO, path, session.creator);
            session.media.iter().map(video).collect()
        }
    }
}

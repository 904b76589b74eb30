//! The form that submits a job.

use serde_json::json;

use super::form::Form;
use super::html::Html;
use super::parts::{begin, end};
use super::view::May;
use crate::serve::Service;
use crate::serve::access::Caller;
use crate::serve::api;
use crate::serve::problem::Problem;

/// The page of the form, with what was written before, and why that was refused.
pub(super) fn page(may: &May, names: &[String], form: &Form, id: &str, why: Option<&str>) -> Html {
    let mut html = begin("Send a video · chunkferry", Some(may), None);
    html.put(r#"<p class="back"><a href="/">All jobs</a></p><section class="sheet"><h1>Send a video</h1>"#, &[]);
    if let Some(why) = why {
        html.put(r#"<p class="refused" role="alert">{}</p>"#, &[&why]);
    }
    html.put(
        r#"<form method="post" action="/new" class="fields"><input type="hidden" name="csrf" value="{}"><input type="hidden" name="id" value="{}">
<label for="account">Account</label><input id="account" name="account" list="accounts" value="{}" required autocomplete="off" spellcheck="false">
<datalist id="accounts">"#,
        &[&may.csrf, &id, &form.text("account")],
    );
    for name in names {
        html.put(r#"<option value="{}"></option>"#, &[name]);
    }
    html.put(
        r#"</datalist>
<label for="video">Video</label><input id="video" name="video" value="{}" required autocomplete="off" spellcheck="false" aria-describedby="h-video">
<p class="hint" id="h-video">The absolute path of a file, as the service sees it, or a URL that TikTok fetches.</p>
<label for="label">Label <span>(optional)</span></label><input id="label" name="label" value="{}" placeholder="night=7" autocomplete="off" spellcheck="false">
<div class="deeds"><button class="primary">Send as a draft</button></div></form></section>"#,
        &[&form.text("video"), &form.text("label")],
    );
    end(&mut html);
    html
}

/// Submits the job of a form; its id. The form's own id makes the same form the same job, however often it is sent.
pub(super) async fn submit(
    service: &Service,
    caller: &Caller,
    form: &Form,
) -> Result<String, Problem> {
    let video = form.text("video").trim();
    let named = if video.contains("://") { "url" } else { "file" };
    let mut job = json!({ "account": form.text("account").trim(), named: video });
    let label = form.text("label").trim();
    if !label.is_empty() {
        let (name, value) = label.split_once('=').ok_or_else(|| {
            Problem::field("label", "A label is a name and a value, such as night=7.")
        })?;
        job["labels"] = json!({ name: value });
    }
    let id = Some(form.text("id")).filter(|id| !id.is_empty());
    let text = job.to_string();
    let (_, record) = api::submit_one(service, caller, text.as_bytes(), id).await?;
    Ok(record.id)
}

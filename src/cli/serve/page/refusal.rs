//! What a browser shows that is not let in, or not obeyed.

use axum::http::StatusCode;
use axum::response::Response;

use super::{page, parts};
use crate::serve::access::Door;
use crate::serve::problem::Problem;

/// Why a browser is not let in, or not obeyed; with the form for a key where a key helps.
pub(in crate::serve) fn refusal(problem: &Problem, door: &Door) -> Response {
    let mut html = parts::begin("chunkferry", None, None);
    let detail = problem.fields()["detail"].as_str().unwrap_or_default();
    html.put(r#"<section class="sheet">"#, &[]);
    match (problem.status, door) {
        (StatusCode::UNAUTHORIZED, Door::Network(_)) => {
            html.put(
                r#"<h1>Sign in</h1><p class="hint">{}</p>"#,
                &[&match detail.contains("Bearer") {
                    true => "This service is used with a key.",
                    false => detail,
                }],
            );
            html.put(
                r#"<form method="post" action="/login" class="fields"><label for="key">Key</label><input id="key" name="key" type="password" required autocomplete="current-password" autofocus><div class="deeds"><button class="primary">Sign in</button></div></form>"#,
                &[],
            );
        }
        (StatusCode::UNAUTHORIZED, _) => {
            let text = match detail.contains("Bearer") {
                true => "This page is opened by a link of its own.",
                false => detail,
            };
            html.put(
                r#"<h1>Sign in</h1><p>{}</p><p>On this machine, ask for a link:</p><pre>chunkferry page</pre>"#,
                &[&text],
            );
        }
        _ => {
            html.put(
                r#"<h1>Not done</h1><p>{}</p><p><a href="/">All jobs</a></p>"#,
                &[&detail],
            );
        }
    }
    html.put("</section>", &[]);
    parts::end(&mut html);
    let mut response = page(html);
    *response.status_mut() = problem.status;
    response
}

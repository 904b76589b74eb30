//! The page at `/`: what the service does, for people in a browser. It is written by the server and works without a script, which only
//! keeps it fresh.

use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, LOCATION, REFERRER_POLICY,
    SET_COOKIE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::json;

use super::Service;
use super::access::{Caller, Door, cookie};
use super::api::found;
use super::problem::{Problem, ok, set, time};
use super::request::Query;

mod accounts;
mod advice;
mod deeds;
pub(super) mod form;
mod html;
mod job;
mod overview;
mod parts;
mod refusal;
pub(super) mod session;
mod story;
mod submit;
mod view;

use form::Form;
use html::Html;
pub(super) use refusal::refusal;
use session::LINK;
use view::May;

/// Nothing may load from other hosts, and injected markup could not run.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; \
    img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

type Answer = Result<Response, Problem>;

/// What the page knows besides the engine.
#[derive(Debug, Default)]
pub(super) struct Page {
    stories: story::Stories,
    accounts: accounts::Known,
}

impl Page {
    /// Notes what happens to jobs, for their stories, for as long as the engine lives.
    pub(super) async fn listen(service: Arc<Service>) {
        if let Ok(events) = service.engine.events() {
            service.page.stories.listen(events).await;
        }
    }
}

pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/", get(index))
        .route("/live", get(index_live))
        .route("/jobs/{id}", get(show))
        .route("/jobs/{id}/live", get(show_live))
        .route("/jobs/{id}/pause", post(deeds::pause))
        .route("/jobs/{id}/retry", post(deeds::retry))
        .route("/jobs/{id}/cancel", post(deeds::cancel))
        .route("/queue/pause", post(deeds::pause_all))
        .route("/queue/resume", post(deeds::resume_all))
        .route("/new", get(form).post(submit))
        .route("/logout", post(leave))
        .route(
            "/page.css",
            get(|| async { file("text/css; charset=utf-8", include_str!("page/look.css")) }),
        )
        .route(
            "/page.js",
            get(|| async {
                file(
                    "text/javascript; charset=utf-8",
                    include_str!("page/live.js"),
                )
            }),
        )
        .route(
            "/page.svg",
            get(|| async { file("image/svg+xml", include_str!("page/icon.svg")) }),
        )
}

/// Makes a link that works once. Only the socket has it: whoever can connect there may do everything.
pub(super) async fn link(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
) -> Answer {
    Query::of(&uri, &[])?;
    if !caller.is_local() {
        let text = "A link is made over the socket alone. Open this address in a browser, and give your key there.";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", text));
    }
    let link = service.sessions.link().await.map_err(|error| {
        let text = format!("No browser of this machine can be listened for: {error}.");
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "temporary", text)
    })?;
    let body = json!({ "url": link, "expires": time(SystemTime::now() + LINK) });
    Ok(ok(StatusCode::CREATED, &body))
}

fn file(kind: &str, text: &'static str) -> Response {
    let mut response = Response::new(text.into());
    set(&mut response, CONTENT_TYPE, kind);
    set(&mut response, CACHE_CONTROL, "no-cache");
    set(&mut response, X_CONTENT_TYPE_OPTIONS, "nosniff");
    response
}

fn page(html: Html) -> Response {
    let mut response = Response::from(html);
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "same-origin"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        set(&mut response, name, value);
    }
    response
}

/// Goes to another page after a form.
fn go(to: &str) -> Response {
    let mut response = Response::default();
    *response.status_mut() = StatusCode::SEE_OTHER;
    set(&mut response, LOCATION, to);
    response
}

/// A problem of a handler, as a page.
fn or_say(answer: Answer, door: &Door) -> Response {
    answer.unwrap_or_else(|problem| refusal(&problem, door))
}

fn may(caller: &Caller, door: &Door) -> May {
    May::of(caller, !matches!(door, Door::Socket))
}

async fn index(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Extension(door): Extension<Door>,
) -> Response {
    let shown = async {
        let (view, may) = (
            view::Overview::of(&service, &caller).await?,
            may(&caller, &door),
        );
        let mut html = parts::begin(&overview::title(&view), Some(&may), Some("/live"));
        html.add(&overview::part(&view, &may));
        parts::end(&mut html);
        Ok(page(html))
    };
    or_say(shown.await, &door)
}

/// The part that changes, with the title of the window in a header.
async fn index_live(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Extension(door): Extension<Door>,
) -> Answer {
    let view = view::Overview::of(&service, &caller).await?;
    Ok(page(overview::part(&view, &may(&caller, &door))))
}

async fn view_of(service: &Service, id: &str) -> Result<job::View, Problem> {
    let record = found(&service.engine, id).await?;
    let notices = view::notices(service, &record).await?;
    Ok(job::View {
        running: view::under_way(service, record).await,
        story: service.page.stories.tell(id),
        notices,
    })
}

async fn show(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Extension(door): Extension<Door>,
    Path(id): Path<String>,
) -> Response {
    let shown = async {
        let (view, may) = (view_of(&service, &id).await?, may(&caller, &door));
        let live = format!("/jobs/{id}/live");
        let mut html = parts::begin(&job::title(&view.running.job), Some(&may), Some(&live));
        html.add(&job::part(&view, &may));
        parts::end(&mut html);
        Ok(page(html))
    };
    or_say(shown.await, &door)
}

async fn show_live(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Extension(door): Extension<Door>,
    Path(id): Path<String>,
) -> Answer {
    let view = view_of(&service, &id).await?;
    Ok(page(job::part(&view, &may(&caller, &door))))
}

/// The names of accounts that a form offers.
async fn names(service: &Service, caller: &Caller) -> Vec<String> {
    let known = service.page.accounts.all(service).await.unwrap_or_default();
    let seen = known.into_iter().filter(|of| caller.sees(&of.name));
    seen.map(|of| of.name).collect()
}

async fn form(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Extension(door): Extension<Door>,
) -> Response {
    let (names, id) = (names(&service, &caller).await, session::random());
    let id = id
        .map(|id| format!("page-{}", &id[..24]))
        .unwrap_or_default();
    let may = may(&caller, &door);
    page(submit::page(&may, &names, &Form::default(), &id, None))
}

async fn submit(
    State(service): State<Arc<Service>>,
    Extension(caller): Extension<Caller>,
    Extension(door): Extension<Door>,
    Extension(form): Extension<Form>,
) -> Response {
    match submit::submit(&service, &caller, &form).await {
        Ok(id) => go(&format!("/jobs/{id}")),
        Err(problem) => {
            let names = names(&service, &caller).await;
            let why = problem.fields()["detail"].as_str();
            let (may, id) = (may(&caller, &door), form.text("id"));
            let mut response = page(submit::page(&may, &names, &form, id, why));
            *response.status_mut() = problem.status;
            response
        }
    }
}

/// Ends the session.
async fn leave(
    State(service): State<Arc<Service>>,
    Extension(door): Extension<Door>,
    headers: HeaderMap,
) -> Response {
    let mut response = go("/");
    if let Some(port) = door.port() {
        if let Some(token) = cookie(&headers, port) {
            service.sessions.end(token);
        }
        let gone = format!("chunkferry-{port}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
        set(&mut response, SET_COOKIE, &gone);
    }
    response
}

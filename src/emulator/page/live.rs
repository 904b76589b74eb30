//! Sends the changed parts of an open page. Without an open page this code does not run.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::stream;
use hyper::http::request::Parts;
use serde_json::{Map, Value};

use super::parts::parts;
use super::view::View;
use crate::shared::Shared;

/// How often an open page is updated, in real time: processing ends by the clock alone.
const GLANCE: Duration = Duration::from_millis(150);
/// Longest time until a disconnected browser is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

struct Reader {
    shared: Arc<Shared>,
    view: View,
    /// The parts that the browser has; empty before the first update.
    sent: Vec<String>,
}

/// A stream of events, each a JSON object of parts.
pub(super) fn events(shared: Arc<Shared>, parts: &Parts) -> Response {
    let view = View::ask(&shared, parts);
    let reader = Reader {
        shared,
        view,
        sent: Vec::new(),
    };
    let events = stream::unfold(reader, |mut reader| async {
        let changed = reader.wait().await;
        let event = Event::default().data(Value::Object(changed).to_string());
        Some((Ok::<_, Infallible>(event), reader))
    });
    let alive = KeepAlive::new().interval(SIGN_OF_LIFE);
    Sse::new(events).keep_alive(alive).into_response()
}

impl Reader {
    /// Waits until a part differs from the browser's.
    async fn wait(&mut self) -> Map<String, Value> {
        loop {
            if !self.sent.is_empty() {
                tokio::time::sleep(GLANCE).await;
                self.view = self.view.again(&self.shared);
            }
            let parts = parts(&self.view);
            self.sent.resize(parts.len(), String::new());
            let mut changed = Map::new();
            for ((id, html), sent) in parts.into_iter().zip(&mut self.sent) {
                let html = html.into_text();
                if html != *sent {
                    changed.insert(id.to_owned(), Value::String(html.clone()));
                    *sent = html;
                }
            }
            if !changed.is_empty() {
                return changed;
            }
        }
    }
}

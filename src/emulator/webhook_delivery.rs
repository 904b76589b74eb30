//! Watches for uploads that end, and delivers the events.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::CONTENT_TYPE;

use super::http_client;
use super::service::Service;
use super::shared::Shared;
use super::webhooks::{Hook, Message, News, events, sign};

/// How often the server looks for events, in real time.
const GLANCE: Duration = Duration::from_millis(50);

/// Queues events and delivers due messages while the server runs; pauses while no receiver is registered.
pub(crate) async fn announce(shared: Arc<Shared>) {
    loop {
        if shared.service().webhooks.is_unheard() {
            shared.registered.notified().await;
        }
        tokio::time::sleep(GLANCE).await;
        let due = {
            let mut service = shared.service();
            service.gather_news();
            let now = service.now();
            service.webhooks.take_due(now)
        };
        for batch in due {
            let delivered = deliver(Arc::clone(&shared), batch);
            tokio::spawn(Arc::clone(&shared).guard(delivered));
        }
    }
}

/// Delivers messages one after the other, in queue order; a receiver that hangs delays only its own.
async fn deliver(shared: Arc<Shared>, batch: Vec<Message>) {
    for message in batch {
        deliver_one(&shared, message).await;
    }
}

async fn deliver_one(shared: &Shared, message: Message) {
    // Taken before the time in the signature.
    let _turn = shared.deliveries.acquire().await;
    let (unix, settings) = {
        let service = shared.service();
        (service.clock.unix(service.now()), service.settings(None))
    };
    let signature = sign(&message.hook.client_secret, unix, message.body.as_bytes());
    let request = Request::post("/")
        .header(CONTENT_TYPE, "application/json")
        .header("TikTok-Signature", format!("t={unix},s={signature}"))
        .body(Full::new(Bytes::from(message.body.clone())));
    let answered = match request {
        Ok(request) => {
            let (hook, ca) = (&message.hook, settings.pull_ca_file.as_deref());
            let answered = http_client::send(&hook.url, request, ca, hook.only).await;
            answered.map_err(|error| error.to_string())
        }
        Err(error) => Err(error.to_string()),
    };
    let status = answered.map(|answer| answer.status().as_u16());
    let mut service = shared.service();
    let now = service.now();
    service.webhooks.tried(message, status, now, unix);
}

impl Shared {
    /// Registers a receiver for events from now on; earlier events are not sent.
    pub(crate) fn register(&self, hook: Hook) -> Result<(), String> {
        let mut service = self.service();
        service.gather_news();
        service.webhooks.register(hook)?;
        self.registered.notify_one();
        Ok(())
    }
}

impl Service {
    /// Queues the events of uploads that ended since the last call.
    pub(crate) fn gather_news(&mut self) {
        let now = self.now();
        let unix = self.clock.unix(now);
        let Self {
            sessions,
            scopes,
            webhooks,
            ..
        } = self;
        for session in sessions.values_mut().filter(|session| !session.orphan) {
            let settings = scopes.of(Some(&session.token));
            let state = session.state(now, &settings);
            if session.announced.as_ref() == Some(&state) {
                continue;
            }
            for (event, content) in events(session, &state) {
                let news = News {
                    event,
                    token: &session.token,
                    creator: &session.creator,
                    shown: &session.shown_creator,
                    publish_id: Some(&session.publish_id),
                    content,
                };
                webhooks.tell(&news, now, unix, &settings);
            }
            session.announced = Some(state);
        }
    }
}

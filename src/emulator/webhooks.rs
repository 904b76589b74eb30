//! Sends the events of uploads to registered receivers (D WHO, WHE, WHV).
//!
//! At least once, signed, and again after growing pauses until a 200 or for 72 hours of the server's time. Events
//! without a registered receiver are not sent later.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::{Position, Url};

use super::bounded::{Last, MOST_RECORDS, short};
use super::clock::Moment;
use super::creator::open_id;
use super::log::WebhookLog;
use super::session::{Session, State};
use super::settings::{Settings, WebhookOrder};

const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// Age at which a message is dropped (D WHO).
const LONGEST: Duration = Duration::from_secs(72 * 3600);

/// Most registered receivers.
const MOST_HOOKS: usize = 1_000;
/// Most queued messages; further events send none.
const MOST_MESSAGES: usize = 10_000;

/// A receiver of events.
#[derive(Clone, Debug)]
pub(crate) struct Hook {
    pub(crate) url: Url,
    pub(crate) client_key: String,
    pub(crate) client_secret: String,
    /// The bearer token that registered it: it gets only that token's events.
    pub(crate) owner: Option<String>,
    /// The one address that may be called: the address of the machine that registered it.
    pub(crate) only: Option<IpAddr>,
}

/// One event for one receiver.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) hook: Hook,
    pub(crate) event: &'static str,
    pub(crate) publish_id: Option<String>,
    pub(crate) body: String,
    creator: String,
    attempts: u64,
    since: Moment,
    due: Moment,
    pause: Duration,
}

/// Receivers and their queued messages.
#[derive(Debug)]
pub(crate) struct Webhooks {
    hooks: Vec<Hook>,
    queue: Vec<Message>,
    /// Messages in delivery.
    leaving: usize,
    pub(crate) sent: Last<WebhookLog>,
}

impl Default for Webhooks {
    fn default() -> Self {
        Self {
            hooks: Vec::new(),
            queue: Vec::new(),
            leaving: 0,
            sent: Last::new(MOST_RECORDS),
        }
    }
}

impl Webhooks {
    /// Whether no receiver is registered, so that no message is queued.
    pub(crate) fn is_unheard(&self) -> bool {
        self.hooks.is_empty()
    }

    /// Each owner has one receiver, as each app has one callback.
    pub(crate) fn register(&mut self, hook: Hook) -> Result<(), String> {
        self.forget(hook.owner.as_deref());
        if self.hooks.len() >= MOST_HOOKS {
            return Err("there are 1,000 receivers; DELETE one of them first".to_owned());
        }
        self.hooks.push(hook);
        Ok(())
    }

    pub(crate) fn forget(&mut self, owner: Option<&str>) {
        self.hooks.retain(|hook| hook.owner.as_deref() != owner);
        self.queue
            .retain(|message| message.hook.owner.as_deref() != owner);
    }

    /// Queues one event for each receiver that it concerns.
    pub(crate) fn tell(&mut self, news: &News<'_>, now: Moment, unix: u64, settings: &Settings) {
        let concerned = |hook: &&Hook| {
            hook.owner
                .as_deref()
                .is_none_or(|owner| owner == news.token)
        };
        for hook in self.hooks.iter().filter(concerned) {
            let body = json!({
                "client_key": hook.client_key,
                "event": news.event,
                "create_time": unix,
                "user_openid": open_id(news.creator),
                // JSON in a string, as documented.
                "content": Value::Object(news.content.clone()).to_string(),
            });
            let message = Message {
                hook: hook.clone(),
                event: news.event,
                publish_id: news.publish_id.map(str::to_owned),
                body: body.to_string(),
                creator: news.shown.to_owned(),
                attempts: 0,
                since: now,
                due: now.plus(settings.webhook_delay),
                pause: FIRST_PAUSE,
            };
            for _ in 0..settings.webhook_repeat {
                if self.queue.len() + self.leaving >= MOST_MESSAGES {
                    break;
                }
                match settings.webhook_order {
                    WebhookOrder::InOrder => self.queue.push(message.clone()),
                    WebhookOrder::Reversed => self.queue.insert(0, message.clone()),
                }
            }
        }
    }

    /// Records an attempt: its answer, or why there was none. Without a 200 the message is sent again later, until it is
    /// too old.
    pub(crate) fn tried(
        &mut self,
        mut message: Message,
        answered: Result<u16, String>,
        now: Moment,
        at: u64,
    ) {
        message.attempts += 1;
        self.leaving = self.leaving.saturating_sub(1);
        self.sent.push(WebhookLog {
            at,
            event: message.event.to_owned(),
            creator: message.creator.clone(),
            host: message.hook.url[Position::BeforeHost..Position::AfterPort].to_owned(),
            attempt: message.attempts,
            publish_id: message.publish_id.clone(),
            http_status: answered.as_ref().ok().copied(),
            why: answered.as_ref().err().map(|why| short(why, 200)),
        });
        let wanted = |hook: &Hook| hook.owner == message.hook.owner && hook.url == message.hook.url;
        let still = self.hooks.iter().any(wanted);
        if answered != Ok(200) && still && now.since(message.since) < LONGEST {
            message.due = now.plus(message.pause);
            message.pause = message.pause.saturating_mul(2);
            self.queue.push(message);
        }
    }

    /// The messages due now: a batch for each receiver, in order.
    pub(crate) fn take_due(&mut self, now: Moment) -> Vec<Vec<Message>> {
        let mut batches: Vec<Vec<Message>> = Vec::new();
        for message in self.queue.extract_if(.., |message| message.due <= now) {
            self.leaving += 1;
            let same = |batch: &&mut Vec<Message>| batch[0].hook.url == message.hook.url;
            match batches.iter_mut().find(same) {
                Some(batch) => batch.push(message),
                None => batches.push(vec![message]),
            }
        }
        batches
    }
}

/// One event and its creator.
pub(crate) struct News<'a> {
    pub(crate) event: &'static str,
    pub(crate) token: &'a str,
    pub(crate) creator: &'a str,
    /// The creator's name in logs and pages.
    pub(crate) shown: &'a str,
    pub(crate) publish_id: Option<&'a str>,
    pub(crate) content: Map<String, Value>,
}

/// The event name's misspelling is the service's (D WHE).
pub(crate) fn unpublished(session: &Session) -> News<'_> {
    let mut content = about(session);
    content.insert("post_id".to_owned(), json!(session.post_id().to_string()));
    News {
        event: "post.publish.no_longer_publicaly_available",
        token: &session.token,
        creator: &session.creator,
        shown: &session.shown_creator,
        publish_id: Some(&session.publish_id),
        content,
    }
}

fn about(session: &Session) -> Map<String, Value> {
    let kind = match session.direct {
        true => "DIRECT_PUBLISH",
        false => "INBOX_SHARE",
    };
    let publish_id = ("publish_id".to_owned(), json!(session.publish_id));
    Map::from_iter([publish_id, ("publish_type".to_owned(), json!(kind))])
}

/// The events of an upload that ended.
pub(crate) fn events(session: &Session, state: &State) -> Vec<(&'static str, Map<String, Value>)> {
    let mut content = about(session);
    match state {
        State::Arriving | State::Processing => Vec::new(),
        State::Delivered => vec![("post.publish.inbox_delivered", content)],
        State::Failed(reason) => {
            content.insert("reason".to_owned(), json!(reason));
            vec![("post.publish.failed", content)]
        }
        State::Posted => {
            let mut events = vec![("post.publish.complete", content.clone())];
            if session.public {
                content.insert("post_id".to_owned(), json!(session.post_id().to_string()));
                events.push(("post.publish.publicly_available", content));
            }
            events
        }
    }
}

/// hex(HMAC-SHA256(client_secret, `t` + "." + body)) (D WHV).
pub(crate) fn sign(secret: &str, t: u64, body: &[u8]) -> String {
    const BLOCK: usize = 64;
    let mut key = [0; BLOCK];
    if secret.len() > BLOCK {
        key[..32].copy_from_slice(&Sha256::digest(secret));
    } else {
        key[..secret.len()].copy_from_slice(secret.as_bytes());
    }
    let inner = Sha256::new()
        .chain_update(key.map(|byte| byte ^ 0x36))
        .chain_update(format!("{t}."))
        .chain_update(body)
        .finalize();
    let outer = Sha256::new()
        .chain_update(key.map(|byte| byte ^ 0x5c))
        .chain_update(inner)
        .finalize();
    hex::encode(outer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_the_one_any_receiver_computes() {
        // printf '1633174587.{"a":1}' | openssl dgst -sha256 -hmac secret
        assert_eq!(sign("secret", 1_633_174_587, br#"{"a":1}"#), SHORT);
        assert_eq!(sign(&"k".repeat(100), 1, b""), LONG);
    }

    const SHORT: &str = "7151550f9bebe052d14d518d957d02727224ec1912baffb80d34739a3b149820";
    const LONG: &str = "f380fa061ddac7555fce09c4f9d5ba3c4d7eb9115eaa097dd2c14988a18ae793";

    #[test]
    fn messages_that_nobody_takes_do_not_pile_up() {
        let mut webhooks = Webhooks::default();
        let hook = Hook {
            url: Url::parse("http://127.0.0.1:9/").unwrap(),
            client_key: "key".to_owned(),
            client_secret: "secret".to_owned(),
            owner: None,
            only: None,
        };
        webhooks.register(hook).unwrap();
        let settings = Settings {
            webhook_repeat: 100,
            ..Settings::default()
        };
        let news = News {
            event: "post.publish.failed",
            token: "t",
            creator: "c",
            shown: "c",
            publish_id: None,
            content: Map::new(),
        };
        let now = Moment(Duration::ZERO);
        for _ in 0..200 {
            webhooks.tell(&news, now, 0, &settings);
        }
        let leaving: Vec<_> = webhooks.take_due(now).into_iter().flatten().collect();
        assert_eq!(leaving.len(), MOST_MESSAGES);
        webhooks.tell(&news, now, 0, &settings);
        assert!(webhooks.take_due(now).is_empty(), "those that leave count");
        for message in leaving {
            webhooks.tried(message, Ok(500), now, 0);
        }
        webhooks.tell(&news, now, 0, &settings);
        let late = now.plus(LONGEST);
        assert_eq!(webhooks.take_due(late).concat().len(), MOST_MESSAGES);
        assert_eq!(webhooks.sent.len(), MOST_RECORDS);
    }
}

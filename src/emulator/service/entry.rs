//! Incoming requests: each is counted, logged for a while, and may be hit by a fault.

use hyper::http::request::Parts;

use super::Service;
use crate::bounded::MOST_KEYS;
use crate::creator::{creator_of, public_name};
use crate::endpoint::Endpoint;
use crate::faults::{Action, Occasion, Strike};
use crate::log::{FaultLog, RequestLog};
use crate::traffic;

impl Service {
    /// Enters an API call; returns the fault that hits it, and its number in the log.
    pub(crate) fn enter(
        &mut self,
        endpoint: Endpoint,
        token: Option<&str>,
        parts: &Parts,
    ) -> (Strike, u64) {
        let creator = token.map(|token| public_name(creator_of(token), token));
        self.count(Some(endpoint), creator.as_deref());
        let occasion = Occasion {
            endpoint,
            chunk: None,
            upload: None,
            publish_id: None,
            token,
            creator: token.map(creator_of),
        };
        let strike = self.faults.strike(&occasion);
        if let (Some(Action::RevokeToken), Some(token)) = (&strike.action, token) {
            self.tokens.kill(token);
        }
        let request = RequestLog {
            creator,
            ..traffic::request(self.unix(), parts)
        };
        let number = self.remember(request, endpoint, &strike);
        (strike, number)
    }

    /// Enters a PUT and applies faults to its upload; returns the fault that hits the transfer, and its number in the
    /// log.
    pub(crate) fn enter_put(
        &mut self,
        upload: Option<u64>,
        chunk: Option<u64>,
        parts: &Parts,
    ) -> (Strike, u64) {
        let (now, first) = (self.now(), self.first_session);
        let mut request = RequestLog {
            chunk,
            ..traffic::request(self.unix(), parts)
        };
        let mut strike = Strike::default();
        if let Some((number, session)) =
            upload.and_then(|number| Some((number, self.sessions.get_mut(&number)?)))
        {
            request.creator = Some(session.shown_creator.clone());
            request.publish_id = Some(session.publish_id.clone());
            let occasion = Occasion {
                endpoint: Endpoint::Put,
                chunk,
                upload: Some(number - first + 1),
                publish_id: Some(&session.publish_id),
                token: Some(&session.token),
                creator: Some(&session.creator),
            };
            strike = self.faults.strike(&occasion);
            match strike.action {
                Some(Action::ExpireUrl) => session.expires = now,
                Some(Action::DropSession) => session.dropped = true,
                Some(Action::RevokeToken) => self.tokens.kill(&session.token),
                _ => {}
            }
        }
        self.count(Some(Endpoint::Put), request.creator.as_deref());
        let number = self.remember(request, Endpoint::Put, &strike);
        (strike, number)
    }

    /// Enters a request that is not a call of the service, with the status of its answer.
    pub(crate) fn enter_other(&mut self, parts: &Parts, http_status: u16) {
        self.count(None, None);
        let request = traffic::request(self.unix(), parts);
        let number = self.traffic.begin(request);
        self.traffic.end(number, Some(http_status));
    }

    fn remember(&mut self, mut request: RequestLog, endpoint: Endpoint, strike: &Strike) -> u64 {
        let fired = strike.scripts.iter().map(|script| FaultLog {
            at: request.at,
            endpoint: endpoint.name().to_owned(),
            creator: request.creator.clone(),
            publish_id: request.publish_id.clone(),
            chunk: request.chunk,
            fault: script.clone(),
        });
        for fault in fired {
            self.fired.push(fault);
        }
        request.fault = strike.told();
        self.traffic.begin(request)
    }

    fn count(&mut self, endpoint: Option<Endpoint>, creator: Option<&str>) {
        let creator = creator.unwrap_or_default();
        // Beyond this number of creators, requests count under no creator.
        let known = self.requests.len() < MOST_KEYS || self.requests.contains_key(creator);
        let whose = if known { creator } else { "" };
        let requests = self.requests.entry(whose.to_owned()).or_default();
        match endpoint {
            Some(endpoint) if endpoint.is_init() => requests.init += 1,
            Some(Endpoint::Put) => requests.put += 1,
            Some(Endpoint::Status) => requests.status += 1,
            Some(Endpoint::Token) => requests.token += 1,
            _ => requests.other += 1,
        }
    }
}

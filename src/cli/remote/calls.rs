//! Calls to a service.

use std::collections::BTreeMap;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use chunkferry::{ErrorKind, Escaped, Record};
use http_body::Frame;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use serde_json::Value;
use tokio::sync::mpsc;

use super::{READ, Remote};
use crate::Failure;
use crate::exit::Exit;

/// The header that has the fields of a job whose video is the body.
const JOB: &str = "chunkferry-job";

/// Most bytes of a line.
const LINE: usize = 1 << 20;

impl Remote {
    /// Calls the service; the answer's JSON, or null.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let answer = self.accepted(self.send(method, path, body).await?).await?;
        let text = answer.bytes().await.map_err(|error| self.gone(&error))?;
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// The job of the service that has this id; `None` if there is none, or if the text is no id of a job.
    pub(crate) async fn job(&self, id: &str) -> Result<Option<Value>, Failure> {
        if id.len() != 16 || !id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let answer = self
            .send(Method::GET, &format!("/v1/jobs/{id}"), None)
            .await?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let text = self.accepted(answer).await?.bytes().await;
        let text = text.map_err(|error| self.gone(&error))?;
        Ok(serde_json::from_slice(&text).ok())
    }

    /// The job of an account that has this id of its caller.
    pub(crate) async fn job_under(
        &self,
        account: &str,
        caller_id: &str,
    ) -> Result<Option<Value>, Failure> {
        let mut query = url::form_urlencoded::Serializer::new("/v1/jobs?".to_owned());
        let query = query
            .append_pair("account", account)
            .append_pair("id", caller_id);
        let page = self.call(Method::GET, &query.finish(), None).await?;
        Ok(page["jobs"]
            .as_array()
            .and_then(|jobs| jobs.first().cloned()))
    }

    /// Submits a job with its video, whose pieces `reading` puts into the channel, and `None` after the last one. Returns the job. If
    /// `reading` fails, or this is dropped, the body breaks off, and the service accepts nothing.
    pub(crate) async fn take_in(
        &self,
        fields: &Value,
        pieces: mpsc::Receiver<Option<Bytes>>,
        reading: impl Future<Output = Result<(), Failure>>,
    ) -> Result<Value, Failure> {
        let client = (self.make.0)().build().map_err(|error| self.gone(&error))?;
        let kind = fields["content_type"].as_str().unwrap_or("video/mp4");
        let request = client.post(format!("{}/v1/jobs", self.base));
        let request = request
            .header(CONTENT_TYPE, kind)
            .header(JOB, ascii(fields));
        let mut answer = pin!(request.body(reqwest::Body::wrap(Pieces(pieces))).send());
        let answer = tokio::select! {
            biased;
            answer = &mut answer => answer,
            read = reading => {
                read?;
                let answer = tokio::time::timeout(READ, answer).await;
                answer.map_err(|_| {
                    let name = &self.name;
                    Failure::temporary(format!("The service at {name} does not answer."))
                })?
            }
        };
        let answer = answer.map_err(|error| self.gone(&error))?;
        let text = self.accepted(answer).await?.bytes().await;
        let text = text.map_err(|error| self.gone(&error))?;
        Ok(serde_json::from_slice(&text).unwrap_or_default())
    }

    /// The uploads in the service's journal.
    pub(crate) async fn records(&self) -> Result<Vec<Record>, Failure> {
        let mut lines = self.lines(Method::GET, "/v1/uploads", None).await?;
        let mut records = Vec::new();
        while let Some(line) = lines.next().await? {
            // A state that only a later version knows is left out.
            records.extend(serde_json::from_value::<Record>(line));
        }
        Ok(records)
    }

    /// The jobs of the service that have not ended, in the order of their ids.
    pub(crate) async fn open_jobs(&self) -> Result<Vec<Value>, Failure> {
        let mut jobs = BTreeMap::new();
        // A job may begin, or wait again, between two of these calls: the last one finds what went back.
        for state in ["queued", "running", "paused", "parked", "queued"] {
            let mut after = String::new();
            loop {
                let path = format!("/v1/jobs?state={state}&limit=1000&after={after}");
                let page = self.call(Method::GET, &path, None).await?;
                for job in page["jobs"].as_array().into_iter().flatten() {
                    let id = job["id"].as_str().unwrap_or_default();
                    jobs.insert(id.to_owned(), job.clone());
                }
                match page["next"].as_str() {
                    Some(next) => next.clone_into(&mut after),
                    None => break,
                }
            }
        }
        Ok(jobs.into_values().collect())
    }

    /// Calls the service for lines.
    pub(crate) async fn lines(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<RemoteLines<'_>, Failure> {
        let answer = self.accepted(self.send(method, path, body).await?).await?;
        Ok(RemoteLines {
            remote: self,
            answer,
            read: Vec::new(),
        })
    }

    /// Calls the service with many jobs, for a line about each.
    pub(crate) async fn many(&self, path: &str, jobs: String) -> Result<RemoteLines<'_>, Failure> {
        let lines = HeaderValue::from_static("application/x-ndjson");
        let request = self.client.post(format!("{}{path}", self.base));
        let answer = request.header(CONTENT_TYPE, lines).body(jobs).send().await;
        let answer = self
            .accepted(answer.map_err(|error| self.gone(&error))?)
            .await?;
        Ok(RemoteLines {
            remote: self,
            answer,
            read: Vec::new(),
        })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response, Failure> {
        let mut request = self.client.request(method, format!("{}{path}", self.base));
        if let Some(body) = body {
            let json = HeaderValue::from_static("application/json");
            request = request.header(CONTENT_TYPE, json).body(body.to_string());
        }
        request.send().await.map_err(|error| self.gone(&error))
    }

    async fn accepted(&self, answer: Response) -> Result<Response, Failure> {
        match answer.status().is_success() {
            true => Ok(answer),
            false => Err(self.refused(answer).await),
        }
    }

    /// The service cannot be reached, or has broken off.
    fn gone(&self, error: &reqwest::Error) -> Failure {
        let mut cause: &dyn std::error::Error = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        Failure::temporary(format!(
            "The service at {} does not answer: {}. Start it and run the same command again, or work without it: --service none.",
            self.name,
            Escaped::new(&cause.to_string())
        ))
    }

    async fn refused(&self, answer: Response) -> Failure {
        let status = answer.status();
        let text = answer.bytes().await.unwrap_or_default();
        let problem: Value = serde_json::from_slice(&text).unwrap_or_default();
        let detail = problem["detail"].as_str();
        let detail = detail.map_or_else(|| format!("HTTP {status}"), str::to_owned);
        let kind = match (status, problem["code"].as_str().unwrap_or_default()) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _) | (_, "needs_person") => {
                ErrorKind::NeedsPerson
            }
            (_, "refused") => ErrorKind::Refused,
            (_, "source" | "source_changed" | "other_file") => ErrorKind::Source,
            (_, "unknown") => ErrorKind::Unknown,
            (StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT, _) => {
                ErrorKind::Temporary
            }
            (status, _) if status.is_server_error() => ErrorKind::Temporary,
            _ => ErrorKind::Usage,
        };
        let text = format!("{} (the service at {})", Escaped::new(&detail), self.name);
        Failure::new(Exit::of(kind), text)
    }
}

/// The lines of an answer, as they come.
#[derive(Debug)]
pub(crate) struct RemoteLines<'a> {
    remote: &'a Remote,
    answer: Response,
    read: Vec<u8>,
}

impl RemoteLines<'_> {
    /// The next line; `None` at the end. Safe to drop between polls.
    pub(crate) async fn next(&mut self) -> Result<Option<Value>, Failure> {
        loop {
            while let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                // Empty lines only show that the service lives.
                if let Ok(line) = serde_json::from_slice(&line) {
                    return Ok(Some(line));
                }
            }
            if self.read.len() > LINE {
                return Err(Failure::temporary(format!(
                    "The service at {} answered with a line that does not end.",
                    self.remote.name
                )));
            }
            match self.answer.chunk().await {
                Ok(Some(bytes)) => self.read.extend_from_slice(&bytes),
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.remote.gone(&error)),
            }
        }
    }
}

/// A body whose pieces come one after the other, and `None` after the last one.
struct Pieces(mpsc::Receiver<Option<Bytes>>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        self.0.poll_recv(cx).map(|piece| match piece {
            Some(Some(piece)) => Some(Ok(Frame::data(piece))),
            Some(None) => None,
            None => Some(Err(io::Error::other("the video broke off"))),
        })
    }
}

/// JSON that a header can have.
fn ascii(value: &Value) -> String {
    let mut text = String::new();
    for c in value.to_string().chars() {
        match c.is_ascii() {
            true => text.push(c),
            false => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_header_cannot_have_is_escaped_and_means_the_same() {
        let job = serde_json::json!({ "name": "\u{e9}t\u{e9} \u{1f3ac}.mp4" });
        let text = ascii(&job);
        assert!(text.is_ascii(), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("JSON"), job);
    }
}

//! Metrics as Prometheus reads them: the text format 0.0.4, written by hand.

use std::fmt::Write;

use chunkferry::{Histogram, Metrics};

pub(super) mod textfile;

/// The `Content-Type` of Prometheus' text format, version 0.0.4.
#[cfg_attr(
    not(feature = "service"),
    expect(dead_code, reason = "only `serve` answers over HTTP")
)]
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A text in that format.
#[derive(Debug, Default)]
pub(super) struct Page(String);

/// The samples of one name.
pub(super) struct Family<'a> {
    page: &'a mut String,
    name: &'static str,
}

impl Page {
    /// A name with its type and help, which come once, before its samples.
    pub(super) fn family(&mut self, name: &'static str, kind: &str, help: &str) -> Family<'_> {
        // Writing to a text cannot fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family {
            page: &mut self.0,
            name,
        }
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }
}

impl Family<'_> {
    /// A sample, with the values of its labels.
    pub(super) fn sample(&mut self, labels: &[(&str, &str)], value: f64) {
        self.sample_of("", labels, value);
    }

    /// A sample whose name has this at its end.
    fn sample_of(&mut self, end: &str, labels: &[(&str, &str)], value: f64) {
        let _ = write!(self.page, "{}{end}", self.name);
        for (at, (label, text)) in labels.iter().enumerate() {
            let before = if at == 0 { "{" } else { "," };
            let _ = write!(self.page, "{before}{label}=\"{}\"", escaped(text));
        }
        let after = if labels.is_empty() { "" } else { "}" };
        let _ = writeln!(self.page, "{after} {value}");
    }

    fn histogram(&mut self, labels: &[(&str, &str)], histogram: &Histogram) {
        let count = histogram.count as f64;
        let bounds = histogram.buckets.iter();
        let bounds = bounds.map(|(bound, count)| (bound.to_string(), *count as f64));
        for (bound, count) in bounds.chain([("+Inf".to_owned(), count)]) {
            let labels = [labels, &[("le", bound.as_str())]].concat();
            self.sample_of("_bucket", &labels, count);
        }
        self.sample_of("_sum", labels, histogram.total.as_secs_f64());
        self.sample_of("_count", labels, count);
    }
}

/// The value of a label: whatever text it is, it stays within its quotes.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\\\").replace('"', "\\\"");
    text.replace('\n', "\\n")
}

/// What any command has counted.
pub(super) fn page(metrics: &Metrics) -> Page {
    let mut page = Page::default();
    page.family("chunkferry_build_info", "gauge", "The version that runs.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1.0);
    page.by_word(
        "chunkferry_uploads_total",
        "counter",
        "Runs of uploads that have ended.",
        "outcome",
        &metrics.ended,
    );
    page.by_word(
        "chunkferry_uploads",
        "gauge",
        "Uploads now: queued, running, or processed by the service.",
        "state",
        &metrics.uploads,
    );
    page.counter(
        "chunkferry_sent_bytes_total",
        "Bytes of videos that were handed to connections, repeats included.",
        metrics.bytes_sent as f64,
    );
    page.counter(
        "chunkferry_confirmed_bytes_total",
        "Bytes of videos that the service has acknowledged or fetched.",
        metrics.bytes_confirmed as f64,
    );
    let mut requests = page.family(
        "chunkferry_requests_total",
        "counter",
        "Requests by call and by HTTP status or error code.",
    );
    for ((call, code), count) in &metrics.requests {
        requests.sample(&[("call", call), ("code", code)], *count as f64);
    }
    let mut seconds = page.family(
        "chunkferry_request_seconds",
        "histogram",
        "How long requests took; those that were cut are left out.",
    );
    for (call, histogram) in &metrics.request_seconds {
        seconds.histogram(&[("call", call)], histogram);
    }
    page.by_word(
        "chunkferry_retries_total",
        "counter",
        "Requests that were sent again.",
        "cause",
        &metrics.retries,
    );
    page.counter(
        "chunkferry_inits_total",
        "Inits that may have reached the service.",
        metrics.inits as f64,
    );
    page.counter(
        "chunkferry_init_wait_seconds_total",
        "Time in which uploads waited because the inits of a minute were used up.",
        metrics.init_wait.as_secs_f64(),
    );
    let mut left = page.family(
        "chunkferry_url_seconds_left",
        "gauge",
        "Least time that an upload URL in use is still good; absent while there is none.",
    );
    if let Some(time) = metrics.url_left {
        left.sample(&[], time.as_secs_f64());
    }
    let mut store = page.family(
        "chunkferry_store_seconds",
        "summary",
        "How long durable steps of the journal took.",
    );
    for (op, spent) in &metrics.store {
        store.sample_of("_sum", &[("op", op)], spent.total.as_secs_f64());
        store.sample_of("_count", &[("op", op)], spent.count as f64);
    }
    page.by_word(
        "chunkferry_token_refreshes_total",
        "counter",
        "Renewals of tokens of accounts that log in.",
        "outcome",
        &metrics.token_refreshes,
    );
    page
}

impl Page {
    fn counter(&mut self, name: &'static str, help: &str, value: f64) {
        self.family(name, "counter", help).sample(&[], value);
    }

    /// A sample for each word, which is the value of the label.
    fn by_word<'a>(
        &mut self,
        name: &'static str,
        kind: &str,
        help: &str,
        label: &str,
        counts: impl IntoIterator<Item = (&'a &'static str, &'a u64)>,
    ) {
        let mut family = self.family(name, kind, help);
        for (word, count) in counts {
            family.sample(&[(label, word)], *count as f64);
        }
    }
}

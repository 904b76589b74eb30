//! The log that CHUNKFERRY_LOG selects: for people, or as one JSON object a line; on standard error, or in a file.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;

use clap::ValueEnum;
use serde_json::{Map, Value, json};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry};

use super::{Failure, json, terminal};

mod file;

use file::LogFile;

/// The form of the log's lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    #[default]
    Text,
    Json,
}

/// Writes the log from now on: to this file, or to standard error. CHUNKFERRY_LOG says what is logged; without it, a file has what is
/// of interest later (`info`), and standard error only errors.
pub(super) fn begin(format: LogFormat, file: Option<&Path>) -> Result<(), Failure> {
    let file = file.map(LogFile::open).transpose()?;
    let usual = match file {
        Some(_) => LevelFilter::INFO,
        None => LevelFilter::ERROR,
    };
    let selected = std::env::var("CHUNKFERRY_LOG").unwrap_or_default();
    let selected = EnvFilter::builder()
        .with_default_directive(usual.into())
        .parse_lossy(selected);
    let coloured = file.is_none() && terminal::has_colours();
    let sink = file.map_or(Sink::StandardError, Sink::File);
    match format {
        LogFormat::Text => tracing_subscriber::fmt()
            .with_writer(move || sink.clone())
            .with_ansi(coloured)
            .log_internal_errors(false)
            .with_env_filter(selected)
            .init(),
        LogFormat::Json => Registry::default()
            .with(selected)
            .with(JsonLines(sink))
            .init(),
    }
    Ok(())
}

/// Where the lines go. Each line is one write.
#[derive(Debug, Clone)]
enum Sink {
    StandardError,
    File(LogFile),
}

impl Write for Sink {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match self {
            Self::StandardError => {
                let text = String::from_utf8_lossy(line);
                eprintln!("{}", text.trim_end_matches('\n'));
            }
            Self::File(file) => file.write(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes each event as a JSON object: its time, level, target and message, its fields, and those of the spans around it.
#[derive(Debug)]
struct JsonLines(Sink);

/// The fields of a span, or of an event.
#[derive(Debug, Default)]
struct Fields(Map<String, Value>);

/// Keys that every line has; a field of the same name gets a `_` behind it.
const OWN: [&str; 4] = ["time", "level", "target", "message"];

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(fields);
        }
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        if let Some(span) = context.span(id)
            && let Some(fields) = span.extensions_mut().get_mut::<Fields>()
        {
            values.record(fields);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut all = Map::new();
        let spans = context.event_scope(event);
        for span in spans.into_iter().flat_map(|spans| spans.from_root()) {
            if let Some(Fields(fields)) = span.extensions().get() {
                all.extend(fields.clone());
            }
        }
        let mut fields = Fields::default();
        event.record(&mut fields);
        let message = fields.0.remove("message").unwrap_or_else(|| "".into());
        all.extend(fields.0);
        for own in OWN {
            if let Some(value) = all.remove(own) {
                all.insert(format!("{own}_"), value);
            }
        }
        let own = json!({
            "time": json::now(),
            "level": event.metadata().level().as_str(),
            "target": event.metadata().target(),
            "message": message,
        });
        let line = line(&own, &all) + "\n";
        // A sink has no errors.
        let _ = self.0.clone().write(line.as_bytes());
    }
}

/// Both objects in one, with the own keys first: people look at such lines, too.
fn line(own: &Value, all: &Map<String, Value>) -> String {
    let mut line = "{".to_owned();
    let keys = OWN.iter().map(|key| (*key, &own[*key]));
    let others = all.iter().map(|(key, value)| (key.as_str(), value));
    for (at, (key, value)) in keys.chain(others).enumerate() {
        let comma = if at == 0 { "" } else { "," };
        line += &format!("{comma}{}:{value}", Value::from(key));
    }
    line + "}"
}

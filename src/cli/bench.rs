//! `bench`: the rate that the path to a server carries, and its costs, by setup.

use std::path::PathBuf;

use clap::Args;

use super::exit::Exit;
use super::gauge::Gauge;
use super::signals::Signals;
use super::size::{bytes, humane};
use super::{Failure, Globals, terminal};

mod advice;
mod carry;
mod cost;
mod course;
mod host;
mod report;
mod seen;
mod sink;
mod table;

use course::{Course, Results};

/// Measure what this path can do, against an emulator that throws bytes away
#[derive(Debug, Args)]
#[command(
    help_template = super::TEMPLATE,
    after_help = "Examples:\n  chunkferry bench --report bench.html\n  \
    chunkferry bench --api-base http://10.0.0.7:8787 --allow-http    (there: chunkferry emulator --sink --listen 0.0.0.0:8787)"
)]
pub(super) struct Bench {
    /// Video to send [default: a file of zeros]
    #[arg(value_name = "FILE", conflicts_with = "size")]
    file: Option<PathBuf>,
    /// Bytes to send in each run [default: 3 s of them, 64 MB to 2 GB]
    #[arg(long, value_name = "SIZE", value_parser = bytes)]
    size: Option<u64>,
    /// Runs of each setup; the report has their medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Only chunk sizes: no other reader, ledger, TLS, or more uploads at once
    #[arg(long)]
    quick: bool,
    /// Write a page with plots to FILE
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// One measured run, as JSON; for the process that measures
    #[arg(long, hide = true, value_name = "JSON")]
    carry: Option<carry::Setup>,
}

impl Bench {
    pub(super) async fn run(self, globals: Globals) -> Result<Exit, Failure> {
        if let Some(setup) = self.carry {
            return carry::carry(setup, &globals).await;
        }
        let (json, report) = (globals.json, self.report.clone());
        let mut signals = Signals::listen()?;
        let (leash, hold) = std::io::pipe()
            .map_err(|error| Failure::temporary(format!("A run cannot be held: {error}")))?;
        let mut results = tokio::task::spawn_blocking(move || {
            let course = Course::new(&self, &globals, leash)?;
            let results = course.run(show);
            terminal::clear();
            results
        });
        let results = tokio::select! {
            ended = &mut results => ended.map_err(|error| Failure::temporary(error.to_string()))??,
            exit = signals.first() => {
                drop(hold);
                // The current run ends, and no other begins. Servers, samples and journals are removed with it.
                let _ = results.await;
                return Ok(exit);
            }
        };
        if let Some(path) = &report {
            let page = report::page(&results);
            std::fs::write(path, page).map_err(|error| {
                Failure::temporary(format!("{} cannot be written: {error}", path.display()))
            })?;
        }
        if json {
            let fields =
                serde_json::json!({ "results": results, "advice": advice::advice(&results) });
            println!("{}", super::json::line("bench", None, fields));
        } else {
            println!("{}", table::table(&results));
            println!("{}", advice::words(&results));
        }
        Ok(Exit::DELIVERED)
    }
}

/// Shows the number of finished runs and the current run.
fn show(done: usize, all: usize, run: &str) {
    let (columns, _) = terminal::size();
    let words = [
        format!("{done} of {all} runs  {run}"),
        format!("{done} of {all} runs"),
    ];
    let gauge = Gauge {
        name: "bench",
        aligned: 5,
        share: Some(done as f64 / all.max(1) as f64),
        words: &words,
    };
    terminal::draw(&[gauge.line(columns)]);
}

//! `plan`: shows how a file would be cut, without any request.

use std::path::PathBuf;

use chunkferry::Limits;
use clap::Args;

use super::exit::Exit;
use super::records::shown;
use super::size::{bytes, humane};
use super::{Failure, Globals, json};

/// Show how a file would be cut, without any request
#[derive(Debug, Args)]
#[command(help_template = super::TEMPLATE, after_help = "Example: chunkferry plan --size 50000123")]
pub(super) struct Plan {
    /// The file to plan
    #[arg(required_unless_present = "size")]
    file: Option<PathBuf>,
    /// Plan for this size instead, such as 4GB or 50000123
    #[arg(long, value_parser = bytes, conflicts_with = "file")]
    size: Option<u64>,
    /// Size of a chunk, from 5MiB to 32MB
    #[arg(long, value_parser = bytes, value_name = "SIZE", default_value_t = Limits::DEFAULT_CHUNK)]
    chunk_size: u64,
}

impl Plan {
    pub(super) fn run(&self, globals: &Globals) -> Result<Exit, Failure> {
        let (what, size) = match (&self.file, self.size) {
            (Some(file), _) => {
                let name = shown(&file.to_string_lossy()).into_owned();
                let metadata = std::fs::metadata(file).map_err(|error| {
                    Failure::new(Exit(3), format!("{name} cannot be read: {error}"))
                })?;
                (name, metadata.len())
            }
            (None, size) => ("A file".to_owned(), size.unwrap_or_default()),
        };
        let plan = chunkferry::Plan::new(size, &Limits::DOCUMENTED, self.chunk_size)
            .map_err(|error| Failure::new(Exit(3), format!("{what} cannot be sent: {error}.")))?;
        if globals.json {
            let ranges: Vec<String> = plan.chunks().map(|chunk| chunk.content_range()).collect();
            let fields = serde_json::json!({
                "video_size": plan.video_size(),
                "chunk_size": plan.chunk_size(),
                "total_chunk_count": plan.chunk_count(),
                "content_ranges": ranges,
            });
            println!("{}", json::line("plan", None, fields));
            return Ok(Exit::DELIVERED);
        }
        println!("video_size         {size} ({})", humane(size));
        println!("chunk_size         {}", plan.chunk_size());
        println!("total_chunk_count  {}", plan.chunk_count());
        let last = plan.chunk(plan.chunk_count() - 1);
        println!(
            "last chunk         {} ({})",
            last.size(),
            last.content_range()
        );
        if size > Limits::DOCUMENTED.sure_file() {
            eprintln!("More than 4,000,000,000 bytes: TikTok may refuse it.");
        }
        Ok(Exit::DELIVERED)
    }
}

//! The lab: this machine's yardsticks and us, in turns, with the kernel's own account of each run.
//!
//! Wall time on a machine that is not ours alone says little, so every figure is a ratio of two runs of the same round,
//! and the page has the medians of the rounds. The other end is `chunkferry emulator --sink` in a process of its own.
//!
//!     cargo bench --bench lab              everything, and docs/performance.md
//!     cargo bench --bench lab -- --sources videos on a web server and in a bucket
//!     cargo bench --bench lab -- --gate    the part that CI holds us to

mod cost;
mod gate;
mod gigabit;
mod page;
mod resume;
mod rivals;
mod scene;
mod sources;
mod yardstick;

use clap::Parser;

/// Measures uploads against what else this machine can do.
#[derive(Debug, Parser)]
struct Lab {
    /// Rounds; medians are printed
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// MiB to send in each run
    #[arg(long, default_value_t = 2048)]
    mib: u64,
    /// Only what CI asserts, on less bytes
    #[arg(long)]
    gate: bool,
    /// Only the rivals, without writing the page
    #[arg(long)]
    rivals: bool,
    /// Only videos that lie elsewhere
    #[arg(long)]
    sources: bool,
    /// Be one of the yardsticks
    #[arg(long, hide = true, num_args = 1..)]
    yardstick: Vec<String>,
    /// What cargo passes to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> std::io::Result<()> {
    let lab = Lab::parse();
    if !lab.yardstick.is_empty() {
        return yardstick::run(&lab.yardstick);
    }
    if lab.gate {
        return gate::hold();
    }
    let scene = scene::Scene::new(lab.mib << 20)?;
    if lab.sources {
        return sources::measure(&scene, lab.rounds);
    }
    let rivals = rivals::compare(&scene, lab.rounds, &rivals::all())?;
    if lab.rivals {
        println!("{}", page::rivals(&rivals));
        return Ok(());
    }
    let memory = rivals::memory(&scene)?;
    let resumed = resume::resume(&scene, lab.rounds)?;
    let gigabit = gigabit::gigabit(&scene, lab.rounds.min(3))?;
    let scale = rivals::scale(lab.rounds.min(5))?;
    let text = page::page(&scene, &rivals, &memory, &resumed, &gigabit, &scale);
    page::write(&text)?;
    println!("{text}");
    Ok(())
}

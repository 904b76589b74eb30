//! Every rate with every distance, every chunk size on each: whether `auto` is as good as the best of them.

use std::fs;
use std::time::Duration;

use crate::cell::{Cell, Run};
use crate::link::Shape;

/// The chunk sizes that `auto` is held against: the smallest and the largest legal one, and two between.
pub(crate) const SIZES: [u64; 4] = [5_242_880, 10_000_000, 20_000_000, 32_000_000];

/// Each rate in Mbit/s with the file that is sent at it.
const RATES: [(u64, u64); 3] = [(10, 96_000_000), (100, 192_000_000), (1000, 640_000_000)];

const DISTANCES: [u64; 3] = [5, 50, 150];

/// The distance at which chunks are broken, too.
const BROKEN_AT: u64 = 50;

/// Up to here a link leaves the processor to others, so that several can be measured at once.
const SLOW: u64 = 100;

/// A transfer that takes longer is measured once: the link sets its pace, and no neighbour disturbs it.
const LONG: Duration = Duration::from_secs(60);

/// The times of one cell, a list for each way to send.
pub(crate) struct Times {
    pub(crate) shape: Shape,
    pub(crate) file: u64,
    pub(crate) auto_size: u64,
    pub(crate) fixed: [Vec<Run>; 4],
    pub(crate) auto: Vec<Run>,
    pub(crate) curl: Vec<Duration>,
    /// The same chunk sizes, each with one chunk broken half-way.
    pub(crate) broken: [Vec<Run>; 4],
    pub(crate) round_trip: Duration,
}

/// `None` where no link can be had. `CHUNKFERRY_LINKS=100x5,1000x50` measures these alone.
pub(crate) fn measure() -> Option<Vec<Times>> {
    let chosen = chosen();
    let all = RATES.iter().flat_map(|(rate, file)| {
        let of = move |rtt| (*rate, rtt, *file);
        DISTANCES.map(of)
    });
    let wanted = |(rate, rtt, _): &(u64, u64, u64)| {
        let name = format!("{rate}x{rtt}");
        chosen
            .as_deref()
            .is_none_or(|names| names.split(',').any(|one| one == name))
    };
    let (slow, fast): (Vec<_>, Vec<_>) = all.filter(wanted).partition(|(rate, ..)| *rate <= SLOW);
    let mut cells = std::thread::scope(|scope| {
        let slow: Vec<_> = slow
            .into_iter()
            .map(|row| scope.spawn(move || cell(row)))
            .collect();
        slow.into_iter()
            .map(|cell| cell.join().unwrap())
            .collect::<Option<Vec<_>>>()
    })?;
    for row in fast {
        cells.push(cell(row)?);
    }
    Some(cells)
}

/// The links that were asked for, if not all of them.
pub(crate) fn chosen() -> Option<String> {
    std::env::var("CHUNKFERRY_LINKS").ok()
}

fn cell((rate, rtt, file): (u64, u64, u64)) -> Option<Times> {
    let shape = Shape {
        rate: rate * 1_000_000,
        rtt: Duration::from_millis(rtt),
    };
    let cell = Cell::new(shape)?;
    let emulator = cell.emulator(&[]);
    let video = cell.video("clip.mp4", file);
    let mut times = Times {
        shape,
        file,
        auto_size: 0,
        fixed: Default::default(),
        auto: Vec::new(),
        curl: Vec::new(),
        broken: Default::default(),
        round_trip: cell.round_trip(&emulator),
    };
    // What a later run knows of the rate, it knows from an upload like this one.
    let first = cell.video("first.mp4", 21_000_000);
    cell.upload(&emulator, &first, "auto", None);
    let rounds = if shape.busy(file) > LONG { 1 } else { 3 };
    for _ in 0..rounds {
        for (index, size) in SIZES.into_iter().enumerate() {
            let run = cell.upload(&emulator, &video, &format!("state{size}"), Some(size));
            times.fixed[index].push(run);
            if rtt == BROKEN_AT {
                let fault = format!("put chunk=1 nth=1 cut={}", size / 2);
                let breaking = cell.emulator(&[fault]);
                let run = cell.upload(&breaking, &video, "broken", Some(size));
                assert!(run.connections > 1, "nothing broke: {run:?}");
                times.broken[index].push(run);
                // The journal holds uploads to another emulator; the next run needs a fresh one.
                fs::remove_dir_all(cell.path("broken")).unwrap();
            }
        }
        let run = cell.upload(&emulator, &video, "auto", None);
        times.auto_size = run.chunk_size;
        times.auto.push(run);
        times.curl.push(cell.curl(&emulator, &video));
    }
    let clean = times.fixed.iter().flatten().chain(&times.auto);
    for run in clean {
        assert_eq!((run.connections, run.sent_again), (1, 0), "{run:?}");
    }
    eprintln!("{}", crate::page::row(&times));
    Some(times)
}

impl Times {
    /// The median of each list, in seconds.
    pub(crate) fn fixed_seconds(&self) -> [f64; 4] {
        self.fixed.each_ref().map(|runs| seconds(runs))
    }

    pub(crate) fn auto_seconds(&self) -> f64 {
        seconds(&self.auto)
    }

    pub(crate) fn curl_seconds(&self) -> f64 {
        median(self.curl.iter().map(Duration::as_secs_f64))
    }

    /// How much longer `auto` takes than the best chunk size: 1.0 is as good.
    pub(crate) fn against_best(&self) -> f64 {
        self.auto_seconds()
            / self
                .fixed_seconds()
                .into_iter()
                .fold(f64::INFINITY, f64::min)
    }
}

pub(crate) fn seconds(runs: &[Run]) -> f64 {
    median(runs.iter().map(|run| run.took.as_secs_f64()))
}

pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

//! The parts of an upload, each by itself: `RUSTFLAGS='--cfg measuring' cargo bench --bench parts`.

#[cfg(measuring)]
mod parts {
    use std::hint::black_box;

    use chunkferry::bench_internals::{File, Journal, hash, header, machine};
    use chunkferry::{Limits, Plan, ReadMode};
    use criterion::{Criterion, Throughput, criterion_group};

    const MIB: u64 = 1 << 20;

    /// It stands before every upload, and resuming a directory of a thousand files plans each.
    fn plan(c: &mut Criterion) {
        let mut group = c.benchmark_group("plan");
        for size in [50_000_123, 4_294_967_296] {
            group.throughput(Throughput::Bytes(size));
            group.bench_function(format!("new and all ranges of {size}"), |b| {
                b.iter(|| {
                    let plan =
                        Plan::new(black_box(size), &Limits::DOCUMENTED, Limits::DEFAULT_CHUNK);
                    plan.map(|plan| {
                        plan.chunks()
                            .map(|chunk| chunk.content_range().len())
                            .sum::<usize>()
                    })
                });
            });
        }
        group.finish();
    }

    fn headers(c: &mut Criterion) {
        let mut group = c.benchmark_group("header");
        let text = "bytes 0-40000000/50000123";
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("Content-Range", |b| {
            b.iter(|| header(black_box(text), 50_000_123))
        });
        group.finish();
    }

    /// What hashing costs beside reading alone, and what the body adds to both.
    fn bytes(c: &mut Criterion) {
        let size = 24 * MIB;
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), vec![7; size as usize]).expect("written");
        let open = |read| File::open(file.path(), read).expect("open");
        let (opened, mapped) = (open(ReadMode::Read), open(ReadMode::Map));
        let content = std::fs::read(file.path()).expect("read");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let mut group = c.benchmark_group("bytes");
        group.throughput(Throughput::Bytes(size));
        group.bench_function("read", |b| b.iter(|| runtime.block_on(opened.read())));
        group.bench_function("map", |b| b.iter(|| runtime.block_on(mapped.read())));
        group.bench_function("hash", |b| b.iter(|| hash(black_box(&content))));
        group.bench_function("body", |b| b.iter(|| runtime.block_on(opened.pump(false))));
        group.bench_function("body, hashed ahead", |b| {
            b.iter(|| runtime.block_on(opened.pump(true)))
        });
        group.finish();
    }

    /// A save for each chunk of the size it is made for.
    fn journal(c: &mut Criterion) {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let mut journal = runtime
            .block_on(Journal::open(dir.path(), 1000))
            .expect("open");
        let mut group = c.benchmark_group("journal");
        group.throughput(Throughput::Bytes(Limits::DEFAULT_CHUNK));
        group.bench_function("save of a chunk of 10 MB", |b| {
            b.iter(|| runtime.block_on(journal.save()).expect("saved"));
        });
        group.throughput(Throughput::Elements(1000));
        group.bench_function("scan of 1,000 unfinished uploads", |b| {
            b.iter(|| runtime.block_on(journal.scan()).expect("read"));
        });
        group.finish();
    }

    fn state_machine(c: &mut Criterion) {
        let mut group = c.benchmark_group("machine");
        let size = 4_294_967_296;
        group.throughput(Throughput::Bytes(size));
        group.bench_function("4 GiB in 819 chunks", |b| {
            b.iter(|| assert!(machine(black_box(size)).is_some_and(|requests| requests > 819)));
        });
        group.finish();
    }

    criterion_group!(benches, plan, headers, bytes, journal, state_machine);
}

#[cfg(measuring)]
criterion::criterion_main!(parts::benches);

#[cfg(not(measuring))]
fn main() {
    println!("The parts are reachable with RUSTFLAGS='--cfg measuring' alone.");
}

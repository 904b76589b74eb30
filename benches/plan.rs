//! What planning costs: it stands before every upload, and resuming a directory of a thousand files plans each.

use std::hint::black_box;

use chunkferry::{Limits, Plan};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn plan(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan");
    for size in [50_000_123, 4_294_967_296] {
        group.throughput(Throughput::Bytes(size));
        group.bench_function(format!("new and all ranges of {size}"), |b| {
            b.iter(|| {
                let plan = Plan::new(black_box(size), &Limits::TIKTOK, Limits::DEFAULT_CHUNK);
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

criterion_group!(benches, plan);
criterion_main!(benches);

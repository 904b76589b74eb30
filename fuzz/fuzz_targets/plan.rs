//! Whatever the size and the chunk size: a plan, or a refusal; and a plan that covers the file without gap or overlap,
//! in chunks the service takes under both readings of "MB".

#![no_main]

use chunkferry::{Limits, Plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u64, u64)| {
    let (size, preferred) = input;
    let Ok(plan) = Plan::new(size, &Limits::DOCUMENTED, preferred) else {
        return;
    };
    let mut next = 0;
    for chunk in plan.chunks() {
        assert_eq!(chunk.range().start, next);
        assert!(chunk.size() < 64_000_000);
        assert!(chunk.size() >= 5_242_880 || plan.chunk_count() == 1);
        next = chunk.range().end;
    }
    assert_eq!(next, size);
    assert_eq!(u64::from(plan.chunk_count()), size / plan.chunk_size());
});

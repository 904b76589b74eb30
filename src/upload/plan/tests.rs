use proptest::prelude::*;

use super::*;

const M10: u64 = 10_000_000;
const M32: u64 = 32_000_000;

/// The rules as the Media Transfer Guide states them, for one meaning of "MB", written without looking at the planner.
fn breaks_a_rule(plan: &Plan, mb: u64) -> Option<&'static str> {
    let lens: Vec<u64> = plan.chunks().map(|chunk| chunk.size()).collect();
    let (last, others) = lens.split_last().expect("a plan has a chunk");
    if lens.len() as u64 != plan.video_size() / plan.chunk_size() {
        return Some("total_chunk_count is floor(video_size / chunk_size)");
    }
    if lens.len() > 1000 {
        return Some("at most 1000 chunks");
    }
    if plan.video_size() < 5 * mb && lens.len() != 1 {
        return Some("below 5 MB a file goes whole");
    }
    if plan.video_size() > 64 * mb && lens.len() == 1 {
        return Some("above 64 MB a file is split");
    }
    if lens.len() == 1 && plan.chunk_size() != plan.video_size() {
        return Some("one chunk has the size of the file");
    }
    if others
        .iter()
        .any(|len| *len != plan.chunk_size() || *len < 5 * mb || *len > 64 * mb)
    {
        return Some("a chunk is chunk_size, 5 to 64 MB");
    }
    if lens.len() > 1 && *last < 5 * mb {
        return Some("the last chunk is not shorter than 5 MB");
    }
    if *last > 64 * mb {
        return Some("even the last chunk stays within 64 MB");
    }
    None
}

#[test]
fn the_edges_where_other_planners_break() {
    // video_size, (chunk_size, count, last) for C = 10,000,000 and for C = 32,000,000; None is whole
    type Row = (u64, Option<(u64, u32, u64)>, Option<(u64, u32, u64)>);
    let rows: &[Row] = &[
        (1, None, None),
        (4_194_304, None, None),
        (4_999_999, None, None),
        (5_000_000, None, None),
        (5_242_879, None, None),
        (5_242_880, None, None),
        (5_242_881, None, None),
        (9_999_999, None, None),
        (10_000_000, None, None),
        (10_000_001, None, None),
        (19_999_999, None, None),
        (20_000_000, Some((M10, 2, 10_000_000)), None),
        (20_000_001, Some((M10, 2, 10_000_001)), None),
        (50_000_123, Some((M10, 5, 10_000_123)), None),
        (63_999_999, Some((M10, 6, 13_999_999)), None),
        (
            64_000_000,
            Some((M10, 6, 14_000_000)),
            Some((M32, 2, 32_000_000)),
        ),
        (
            64_000_001,
            Some((M10, 6, 14_000_001)),
            Some((M32, 2, 32_000_001)),
        ),
        (
            66_259_900,
            Some((M10, 6, 16_259_900)),
            Some((M32, 2, 34_259_900)),
        ),
        (
            67_108_864,
            Some((M10, 6, 17_108_864)),
            Some((M32, 2, 35_108_864)),
        ),
        (
            67_108_865,
            Some((M10, 6, 17_108_865)),
            Some((M32, 2, 35_108_865)),
        ),
        (
            121_000_000,
            Some((M10, 12, 11_000_000)),
            Some((M32, 3, 57_000_000)),
        ),
        (
            127_999_999,
            Some((M10, 12, 17_999_999)),
            Some((M32, 3, 63_999_999)),
        ),
        (
            128_000_000,
            Some((M10, 12, 18_000_000)),
            Some((M32, 4, 32_000_000)),
        ),
        (
            132_409_342,
            Some((M10, 13, 12_409_342)),
            Some((M32, 4, 36_409_342)),
        ),
        (
            134_217_728,
            Some((M10, 13, 14_217_728)),
            Some((M32, 4, 38_217_728)),
        ),
        (
            158_008_374,
            Some((M10, 15, 18_008_374)),
            Some((M32, 4, 62_008_374)),
        ),
        (
            1_073_741_824,
            Some((M10, 107, 13_741_824)),
            Some((M32, 33, 49_741_824)),
        ),
        (
            4_000_000_000,
            Some((M10, 400, 10_000_000)),
            Some((M32, 125, 32_000_000)),
        ),
        (
            4_294_967_296,
            Some((M10, 429, 14_967_296)),
            Some((M32, 134, 38_967_296)),
        ),
    ];
    for &(size, at_10, at_32) in rows {
        for (preferred, expected) in [(M10, at_10), (M32, at_32)] {
            let plan = Plan::new(size, &Limits::DOCUMENTED, preferred).expect("legal");
            let expected = expected.unwrap_or((size, 1, size));
            let last = plan.chunk(plan.chunk_count() - 1).size();
            assert_eq!(
                (plan.chunk_size(), plan.chunk_count(), last),
                expected,
                "{size} at {preferred}"
            );
        }
    }
}

#[test]
fn the_documents_own_examples_come_out_to_the_letter() {
    let plan = Plan::new(50_000_123, &Limits::DOCUMENTED, M10).expect("legal");
    let ranges: Vec<String> = plan.chunks().map(|chunk| chunk.content_range()).collect();
    assert_eq!(
        ranges,
        [
            "bytes 0-9999999/50000123",
            "bytes 10000000-19999999/50000123",
            "bytes 20000000-29999999/50000123",
            "bytes 30000000-39999999/50000123",
            "bytes 40000000-50000122/50000123",
        ]
    );
    assert_eq!(plan.chunk(4).size(), 10_000_123);
    let whole = Plan::new(4_194_304, &Limits::DOCUMENTED, M10).expect("legal");
    assert_eq!(whole.chunk(0).content_range(), "bytes 0-4194303/4194304");
    let sample = Plan::new(30_567_100, &Limits::DOCUMENTED, M32).expect("legal");
    assert_eq!(sample.chunk(0).content_range(), "bytes 0-30567099/30567100");
}

#[test]
fn a_refusal_names_the_rule_and_the_numbers() {
    let refusal = |size, preferred| {
        Plan::new(size, &Limits::DOCUMENTED, preferred)
            .expect_err("illegal")
            .to_string()
    };
    insta::assert_snapshot!(
        [refusal(0, M10), refusal(4_294_967_297, M10), refusal(1, 5_242_879), refusal(1, 32_000_001)].join("\n"),
        @r"
    it is empty; a video has at least 1 byte
    it has 4294967297 bytes; the service takes at most 4294967296
    a chunk size of 5242879 bytes is not allowed: it must be from 5242880 to 32000000, so that every chunk, the last one with its tail included, is legal whether MB means 10^6 or 2^20 bytes
    a chunk size of 32000001 bytes is not allowed: it must be from 5242880 to 32000000, so that every chunk, the last one with its tail included, is legal whether MB means 10^6 or 2^20 bytes
    "
    );
}

#[test]
fn a_damaged_plan_from_disk_is_not_believed() {
    let broken = [
        Plan {
            video_size: 121_000_000,
            chunk_size: 67_108_864,
            chunk_count: 1,
        },
        Plan {
            video_size: 50_000_123,
            chunk_size: M10,
            chunk_count: 6,
        },
        Plan {
            video_size: 0,
            chunk_size: 0,
            chunk_count: 1,
        },
        Plan {
            video_size: 20_000_000,
            chunk_size: 5_000_000,
            chunk_count: 4,
        },
        Plan {
            video_size: 70_000_000,
            chunk_size: 70_000_000,
            chunk_count: 1,
        },
        Plan {
            video_size: 64_000_000,
            chunk_size: 64_000_000,
            chunk_count: 1,
        },
        Plan {
            video_size: 9,
            chunk_size: M10,
            chunk_count: 0,
        },
    ];
    for plan in broken {
        assert!(!plan.is_legal(&Limits::DOCUMENTED), "{plan:?}");
        let read = serde_json::from_value::<Plan>(serde_json::to_value(plan).expect("JSON"));
        let is_of_other_limits = plan.covers_its_file();
        assert_eq!(read.is_ok(), is_of_other_limits, "{plan:?}");
        let anew = plan.within(&Limits::DOCUMENTED);
        assert_eq!(anew.is_legal(&Limits::DOCUMENTED), plan.video_size > 0);
    }
}

#[test]
fn a_lower_limit_neither_refuses_a_file_nor_makes_a_stored_plan_unreadable() {
    let few = Limits {
        max_chunks: 3,
        ..Limits::DOCUMENTED
    };
    for size in [30_000_000, 30_000_001, 39_999_999, 40_000_000, 95_000_000] {
        let plan = Plan::new(size, &few, M10).expect("a plan of larger chunks");
        assert!(plan.chunk_count() <= 3, "{plan:?}");
        assert!(plan.chunk_size() >= M10, "{plan:?}");
    }
    let small = Limits {
        max_chunk: 8_000_000,
        ..Limits::DOCUMENTED
    };
    assert_eq!(small.auto_chunk(None), 8_000_000);
    let stored = Plan::new(50_000_123, &Limits::DOCUMENTED, M10).expect("legal");
    let text = serde_json::to_string(&stored).expect("JSON");
    let read: Plan = serde_json::from_str(&text).expect("whatever the limits are now");
    assert_eq!(read.within(&Limits::DOCUMENTED), stored);
    let anew = read.within(&small);
    assert_eq!((anew.chunk_size(), anew.chunk_count()), (8_000_000, 6));
}

#[test]
fn auto_follows_the_rate_within_the_limits() {
    let auto = |rate| Limits::DOCUMENTED.auto_chunk(rate);
    assert_eq!(auto(None), M10);
    assert_eq!(auto(Some(0)), 5_242_880);
    assert_eq!(auto(Some(1_250_000)), 12_000_000);
    assert_eq!(auto(Some(u64::MAX)), M32);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_plan_is_legal_whatever_mb_means(
        size in prop_oneof![1..=4_294_967_296_u64, 1..=140_000_000_u64],
        preferred in 5_242_880..=M32,
    ) {
        let plan = Plan::new(size, &Limits::DOCUMENTED, preferred).expect("legal");
        prop_assert_eq!(breaks_a_rule(&plan, 1_000_000), None);
        // The floor of 5 MiB is above 5 MB, so only the ceilings differ between the readings.
        prop_assert_eq!(breaks_a_rule(&plan, 1 << 20), None);
        let mut next = 0;
        for chunk in plan.chunks() {
            prop_assert_eq!(chunk.range().start, next);
            next = chunk.range().end;
            prop_assert_eq!(chunk.is_last(), next == size);
            prop_assert_eq!(chunk.video_size(), size);
            prop_assert_eq!(plan.border(chunk.index()), chunk.range().start);
        }
        prop_assert_eq!(next, size);
    }
}

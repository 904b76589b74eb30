//! The plan a client declares at init (D MTG; its refusal messages: F).

use serde_json::Value;

use super::number::whole;
use crate::answer::Refusal;
use crate::settings::{Settings, ShortSingle};

/// The client's plan: sizes and number of chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) video_size: u64,
    pub(crate) chunk_size: u64,
    pub(crate) total_chunk_count: u64,
}

impl Plan {
    /// The first byte of a chunk, and the byte after its last; the tail belongs to the last chunk.
    pub(crate) fn chunk(&self, index: u64) -> (u64, u64) {
        let first = index * self.chunk_size;
        match index + 1 >= self.total_chunk_count {
            true => (first, self.video_size),
            false => (first, first + self.chunk_size),
        }
    }

    /// Index of the chunk that contains a byte.
    pub(crate) fn index_of(&self, byte: u64) -> u64 {
        (byte / self.chunk_size).min(self.total_chunk_count - 1)
    }

    fn last_chunk(&self) -> u64 {
        self.video_size - self.chunk_size * (self.total_chunk_count - 1)
    }
}

const CHUNK_SIZE: &str = "The chunk size is invalid";
const CHUNK_COUNT: &str = "The total chunk count is invalid";
const VIDEO_SIZE: &str = "The video size is invalid";
const MOST_CHUNKS: u64 = 1000;

/// Reads and judges the plan in `source_info`.
pub(crate) fn judge_plan(source_info: &Value, settings: &Settings) -> Result<Plan, Refusal> {
    let plan = Plan {
        video_size: required(source_info, "video_size", settings)?,
        chunk_size: required(source_info, "chunk_size", settings)?,
        total_chunk_count: required(source_info, "total_chunk_count", settings)?,
    };
    match find_fault(&plan, settings) {
        Some(message) => Err(Refusal::param(message)),
        None => Ok(plan),
    }
}

fn required(object: &Value, key: &str, settings: &Settings) -> Result<u64, Refusal> {
    match object.get(key) {
        None | Some(Value::Null) => Err(Refusal::param(format!("{key} is required"))),
        Some(value) => whole(value, settings)
            .ok_or_else(|| Refusal::param(format!("{key} must be a whole number, not {value}"))),
    }
}

fn find_fault(plan: &Plan, settings: &Settings) -> Option<&'static str> {
    let &Plan {
        video_size,
        chunk_size,
        total_chunk_count,
    } = plan;
    if video_size == 0 || video_size > settings.max_file {
        return Some(VIDEO_SIZE);
    }
    if chunk_size == 0 || chunk_size > video_size || chunk_size > settings.max_chunk {
        return Some(CHUNK_SIZE);
    }
    // A whole upload may have any size, but a chunk of a split one may not; and a file below the lower limit cannot be
    // split at all.
    if chunk_size < video_size && chunk_size < settings.min_chunk {
        return Some(CHUNK_SIZE);
    }
    if total_chunk_count != video_size / chunk_size
        || !(1..=MOST_CHUNKS).contains(&total_chunk_count)
    {
        return Some(CHUNK_COUNT);
    }
    if total_chunk_count == 1 && chunk_size < video_size {
        match settings.short_single {
            ShortSingle::ChunkSizeInvalid => return Some(CHUNK_SIZE),
            ShortSingle::ChunkCountInvalid => return Some(CHUNK_COUNT),
            ShortSingle::Accept => {}
        }
    }
    (plan.last_chunk() > settings.max_last_chunk).then_some(CHUNK_SIZE)
}

/// Whether a plan is legal under both readings of "MB"; `Err` names the number that is not.
pub(crate) fn legal_under_both_readings(plan: &Plan) -> Result<(), String> {
    let strict = [
        ("chunk_size", plan.chunk_size, 64_000_000),
        ("the last chunk", plan.last_chunk(), 128_000_000),
        ("video_size", plan.video_size, 4_000_000_000),
    ];
    for (what, bytes, most) in strict {
        if bytes > most {
            return Err(format!(
                "{what} is {bytes}, above {most}: legal only if MB is binary"
            ));
        }
    }
    match plan.chunk_size < plan.video_size && plan.chunk_size < 5_242_880 {
        true => Err(format!(
            "chunk_size is {}, below 5242880: legal only if MB is decimal",
            plan.chunk_size
        )),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn judge(size: u64, chunk: u64, count: u64, set: &[&str]) -> Result<Plan, String> {
        let mut settings = Settings::default();
        for pair in set {
            settings.set_pair(pair).unwrap();
        }
        let source_info =
            json!({"video_size": size, "chunk_size": chunk, "total_chunk_count": count});
        judge_plan(&source_info, &settings).map_err(|refusal| refusal.message)
    }

    #[test]
    fn a_plan_at_the_edge_of_a_rule_is_not_refused() {
        let legal = [
            (1, 1, 1),
            (4_194_304, 4_194_304, 1),
            (50_000_123, 10_000_000, 5),
            (64_000_000, 64_000_000, 1),
            (10_485_760, 5_242_880, 2),
            (158_008_374, 5_242_880, 30),
            (127_999_999, 63_999_999, 2),
            (4_000_000_000, 10_000_000, 400),
            (4_000_000_000, 64_000_000, 62),
        ];
        for (size, chunk, count) in legal {
            assert!(
                judge(size, chunk, count, &[]).is_ok(),
                "{size} {chunk} {count}"
            );
        }
    }

    #[test]
    fn a_plan_just_over_the_edge_of_a_rule_never_passes() {
        let illegal = [
            (0, 0, 0, VIDEO_SIZE),
            (4_000_000_001, 10_000_000, 400, VIDEO_SIZE),
            (1_264_496, 10_000_000, 1, CHUNK_SIZE),
            (64_000_001, 64_000_001, 1, CHUNK_SIZE),
            (20_000_000, 5_242_879, 3, CHUNK_SIZE),
            (4_999_999, 2_000_000, 2, CHUNK_SIZE),
            (50_000_123, 10_000_000, 6, CHUNK_COUNT),
            (50_000_123, 10_000_000, 0, CHUNK_COUNT),
            (64_000_000, 10_000_000, 7, CHUNK_COUNT),
            (121_000_000, 63_000_000, 1, CHUNK_SIZE),
        ];
        for (size, chunk, count, message) in illegal {
            assert_eq!(
                judge(size, chunk, count, &[]),
                Err(message.to_owned()),
                "{size} {chunk}"
            );
        }
    }

    #[test]
    fn more_than_a_thousand_chunks_never_pass() {
        let low = ["min_chunk=1000"];
        assert!(judge(1_000_999, 1_000, 1_000, &low).is_ok());
        assert_eq!(
            judge(1_001_000, 1_000, 1_001, &low),
            Err(CHUNK_COUNT.to_owned())
        );
    }

    #[test]
    fn the_switches_move_the_edges_they_name() {
        assert!(judge(67_108_864, 67_108_864, 1, &["max_chunk=67108864"]).is_ok());
        assert!(judge(20_000_000, 5_000_000, 4, &["min_chunk=5000000"]).is_ok());
        assert!(judge(4_294_967_296, 10_000_000, 429, &["max_file=4294967296"]).is_ok());
        let both = ["short_single=accept", "max_last_chunk=64000000"];
        assert!(judge(63_000_000, 40_000_000, 1, &both).is_ok());
        assert_eq!(
            judge(79_000_000, 40_000_000, 1, &both),
            Err(CHUNK_SIZE.to_owned())
        );
        assert!(judge(64_000_000, 40_000_000, 1, &both).is_ok());
        assert!(judge(64_000_001, 40_000_000, 1, &both).is_err());
        for (switch, message) in [
            ("short_single=chunk_size_invalid", CHUNK_SIZE),
            ("short_single=chunk_count_invalid", CHUNK_COUNT),
        ] {
            assert_eq!(
                judge(63_000_000, 40_000_000, 1, &[switch]),
                Err(message.to_owned())
            );
        }
    }

    #[test]
    fn a_byte_belongs_to_one_chunk_and_the_tail_to_the_last() {
        let plan = judge(50_000_123, 10_000_000, 5, &[]).unwrap();
        for (index, first, end) in [
            (0, 0, 10_000_000),
            (3, 30_000_000, 40_000_000),
            (4, 40_000_000, 50_000_123),
        ] {
            assert_eq!(plan.chunk(index), (first, end));
            assert_eq!(
                (plan.index_of(first), plan.index_of(end - 1)),
                (index, index)
            );
        }
        assert_eq!(plan.last_chunk(), 10_000_123);
    }

    #[test]
    fn what_holds_under_one_reading_of_mb_alone_is_named() {
        let plan = |video_size, chunk_size, total_chunk_count| Plan {
            video_size,
            chunk_size,
            total_chunk_count,
        };
        let edges = [
            (plan(64_000_000, 64_000_000, 1), ""),
            (plan(64_000_001, 64_000_001, 1), "chunk_size"),
            (plan(128_000_000, 64_000_000, 1), ""),
            (plan(128_000_001, 64_000_000, 1), "the last chunk"),
            (plan(4_000_000_000, 10_000_000, 400), ""),
            (plan(4_000_000_001, 10_000_000, 400), "video_size"),
            (plan(20_000_000, 5_242_880, 3), ""),
            (plan(20_000_000, 5_242_879, 3), "chunk_size"),
            (plan(5_000_000, 5_000_000, 1), ""),
        ];
        for (plan, named) in edges {
            match legal_under_both_readings(&plan) {
                Ok(()) => assert_eq!(named, "", "{plan:?}"),
                Err(why) => assert!(!named.is_empty() && why.starts_with(named), "{why}"),
            }
        }
    }

    #[test]
    fn a_size_given_as_text_or_fraction_is_not_a_number() {
        for wrong in [
            json!("10000000"),
            json!(1e7),
            json!(-1),
            json!(null),
            json!([1]),
        ] {
            let source_info =
                json!({"video_size": wrong, "chunk_size": 10_000_000, "total_chunk_count": 1});
            assert!(
                judge_plan(&source_info, &Settings::default()).is_err(),
                "{wrong}"
            );
        }
    }
}

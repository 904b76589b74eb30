//! Compares the journal's progress with the service's: three sources, one verdict.
//!
//! The journal's count of confirmed chunks, the progress header of a PUT answer, and `uploaded_bytes` of status. The
//! header may be a count or a last index; chunk borders are millions of bytes apart, so both readings meet the same
//! border.

use std::cmp::Ordering;
use std::time::Duration;

use crate::upload::plan::Plan;

/// The source of a reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Witness {
    Header,
    Status,
}

/// One statement of the service about its progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) by: Witness,
    pub(crate) bytes: u64,
    /// Time of the reading, on the clock that counts from boot.
    pub(crate) at: Duration,
}

/// The verdict for an upload whose journal has `confirmed` chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The service has the same chunks as the journal: send the next.
    AtBorder,
    /// The service also has the chunk in flight: two readings agree.
    Ahead,
    /// The service has fewer chunks than it acknowledged, this many: two readings agree.
    Back(u32),
    /// The service has fewer bytes than it acknowledged, not at a chunk border: two readings agree.
    Behind,
    /// The service has part of the chunk in flight: two readings agree.
    MidChunk,
    /// The service has more bytes than were sent: two readings agree.
    Beyond,
    /// There are readings, but no two of them agree yet.
    Unsure,
    /// There is no reading.
    Unknown,
}

/// Two answers of status count as two readings only if they are this far apart, because status may lag.
const APART: Duration = Duration::from_secs(1);

/// Normalises a number of bytes to a count: a chunk border, or one byte less (a last index), means that border; all
/// numbers beyond the end are equal.
fn place(plan: &Plan, bytes: u64) -> u64 {
    let (size, chunk) = (plan.video_size(), plan.chunk_size());
    let is_border = |count: &u64| {
        *count == size || count.is_multiple_of(chunk) && count / chunk < plan.chunk_count().into()
    };
    let readings = [bytes, bytes.saturating_add(1)];
    let border = readings.into_iter().find(is_border);
    border.unwrap_or_else(|| bytes.min(size + 1))
}

/// Weighs the readings of one doubt, oldest first, against the journal.
///
/// Progress of a live session never falls, so a reading below an earlier one is late and decides nothing. Any verdict
/// but "the same as the journal" needs two equal readings.
pub(crate) fn reconcile(plan: &Plan, confirmed: u32, readings: &[Reading]) -> Verdict {
    let Some(newest) = readings.last() else {
        return Verdict::Unknown;
    };
    if readings
        .iter()
        .any(|reading| reading.bytes > newest.bytes.saturating_add(1))
    {
        return Verdict::Unsure;
    }
    let here = place(plan, newest.bytes);
    let twice = readings[..readings.len() - 1].iter().any(|earlier| {
        let independent = (earlier.by, newest.by) != (Witness::Status, Witness::Status)
            || newest.at >= earlier.at + APART;
        independent && place(plan, earlier.bytes) == here
    });
    let (recorded, next) = (plan.border(confirmed), plan.border(confirmed + 1));
    let verdict = match (here.cmp(&recorded), here.cmp(&next)) {
        (Ordering::Equal, _) => return Verdict::AtBorder,
        (Ordering::Less, _) => match u32::try_from(here / plan.chunk_size()) {
            Ok(chunks) if plan.border(chunks) == here => Verdict::Back(chunks),
            _ => Verdict::Behind,
        },
        (Ordering::Greater, Ordering::Less) => Verdict::MidChunk,
        (Ordering::Greater, Ordering::Equal) => Verdict::Ahead,
        (Ordering::Greater, Ordering::Greater) => Verdict::Beyond,
    };
    if twice { verdict } else { Verdict::Unsure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upload::plan::Limits;

    fn plan() -> Plan {
        Plan::new(50_000_123, &Limits::DOCUMENTED, 10_000_000).expect("legal")
    }

    fn header(bytes: u64) -> Reading {
        Reading {
            by: Witness::Header,
            bytes,
            at: Duration::ZERO,
        }
    }

    fn status(bytes: u64, second: u64) -> Reading {
        Reading {
            by: Witness::Status,
            bytes,
            at: Duration::from_secs(second),
        }
    }

    #[test]
    fn one_witness_is_not_enough_to_move_forward() {
        let rows: &[(&[Reading], Verdict)] = &[
            (&[], Verdict::Unknown),
            (&[status(20_000_000, 0)], Verdict::AtBorder),
            (&[header(19_999_999)], Verdict::AtBorder),
            (&[status(30_000_000, 0)], Verdict::Unsure),
            (
                &[status(30_000_000, 0), status(30_000_000, 0)],
                Verdict::Unsure,
            ),
            (
                &[status(30_000_000, 0), status(30_000_000, 1)],
                Verdict::Ahead,
            ),
            (&[header(29_999_999), status(30_000_000, 0)], Verdict::Ahead),
            (&[header(30_000_000), header(29_999_999)], Verdict::Ahead),
            (
                &[header(30_000_000), status(20_000_000, 5)],
                Verdict::Unsure,
            ),
            (
                &[
                    status(20_000_000, 0),
                    header(30_000_000),
                    status(30_000_000, 2),
                ],
                Verdict::Ahead,
            ),
            (&[status(24_000_000, 0)], Verdict::Unsure),
            (
                &[status(24_000_000, 0), status(24_000_000, 2)],
                Verdict::MidChunk,
            ),
            (
                &[status(24_000_000, 0), status(25_000_000, 2)],
                Verdict::Unsure,
            ),
            (&[status(10_000_000, 0)], Verdict::Unsure),
            (
                &[header(9_999_999), status(10_000_000, 0)],
                Verdict::Back(1),
            ),
            (&[status(0, 0), status(0, 2)], Verdict::Back(0)),
            (&[status(3, 0), status(3, 2)], Verdict::Behind),
            (
                &[status(40_000_000, 0), header(40_000_000)],
                Verdict::Beyond,
            ),
            (
                &[status(33_000_000, 0), header(33_000_000)],
                Verdict::Beyond,
            ),
            (
                &[status(50_000_124, 0), status(50_000_124, 2)],
                Verdict::Beyond,
            ),
            (&[status(u64::MAX, 0), header(u64::MAX)], Verdict::Beyond),
            (
                &[status(50_000_124, 0), header(50_000_130)],
                Verdict::Beyond,
            ),
        ];
        for (readings, expected) in rows {
            assert_eq!(reconcile(&plan(), 2, readings), *expected, "{readings:?}");
        }
    }

    #[test]
    fn the_last_border_is_the_size_in_both_readings() {
        for bytes in [50_000_123, 50_000_122] {
            assert_eq!(
                reconcile(&plan(), 4, &[header(bytes), status(bytes, 0)]),
                Verdict::Ahead,
                "{bytes}"
            );
        }
    }

    #[test]
    fn a_last_index_that_looks_like_a_border_is_the_end_where_the_tail_is_one_byte() {
        let plan = Plan::new(50_000_001, &Limits::DOCUMENTED, 10_000_000).expect("legal");
        for bytes in [50_000_000, 50_000_001] {
            assert_eq!(
                reconcile(&plan, 4, &[header(bytes), status(bytes, 0)]),
                Verdict::Ahead,
                "{bytes}"
            );
        }
    }

    #[test]
    fn more_than_the_whole_video_is_not_the_whole_video() {
        for (one, other) in [(50_000_124, 50_000_124), (50_000_125, 60_000_000)] {
            assert_eq!(
                reconcile(&plan(), 4, &[header(one), status(other, 0)]),
                Verdict::Beyond,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn a_whole_upload_that_got_nothing_is_at_its_border() {
        let whole = Plan::new(3, &Limits::DOCUMENTED, 10_000_000).expect("legal");
        assert_eq!(reconcile(&whole, 0, &[status(0, 0)]), Verdict::AtBorder);
        assert_eq!(
            reconcile(&whole, 0, &[status(3, 0), header(2)]),
            Verdict::Ahead
        );
        assert_eq!(
            reconcile(&whole, 0, &[status(1, 0), header(1)]),
            Verdict::MidChunk
        );
    }
}

//! Faults by chance.

use std::time::Duration;

use super::{Fault, Occasion};
use crate::endpoint::Endpoint;

/// Faults by chance: the same seed and the same requests give the same faults.
#[derive(Clone, Debug, PartialEq)]
pub struct Chaos {
    seed: u64,
    rate: f64,
    seen: u64,
}

impl Chaos {
    /// Hits each request with probability `rate` (0 to 1).
    #[must_use]
    pub fn new(seed: u64, rate: f64) -> Self {
        Self {
            seed,
            rate: rate.clamp(0.0, 1.0),
            seen: 0,
        }
    }

    pub(super) fn roll(&mut self, occasion: &Occasion<'_>) -> Option<Fault> {
        self.seen += 1;
        let mut random = fastrand::Rng::with_seed(self.seed.rotate_left(32) ^ self.seen);
        if random.f64() >= self.rate {
            return None;
        }
        let fault = Fault::on(occasion.endpoint);
        Some(match occasion.endpoint {
            Endpoint::Put => match random.u8(0..6) {
                0 => fault.answer(503),
                1 => fault.cut(random.u64(0..5_000_000)),
                2 => fault.lose_answer(),
                3 => fault.store_then_answer(500),
                4 => fault.delay(Duration::from_millis(random.u64(10..500))),
                _ => fault.cut(0),
            },
            _ => match random.u8(0..5) {
                0 => fault.answer(503),
                1 => fault.answer(429),
                2 => fault.lose_answer(),
                3 => fault.delay(Duration::from_millis(random.u64(10..500))),
                _ => fault.cut(0),
            },
        })
    }
}

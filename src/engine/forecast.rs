//! Will it fit into the hour that an upload URL lives?

use crate::upload::URL_LIFETIME;

/// What to say if a file of `size` bytes cannot be sent within the hour of its URL at `rate` bytes per second.
pub(super) fn too_slow(size: u64, rate: u64) -> Option<String> {
    let needed = size.div_ceil(URL_LIFETIME.as_secs());
    (rate < needed).then(|| {
        let megabits = |rate: u64| rate as f64 * 8.0 / 1e6;
        format!(
            "An upload must end within one hour: this one needs {:.1} Mbit/s, and has {:.1}.",
            megabits(needed),
            megabits(rate)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::too_slow;

    #[test]
    fn a_link_too_slow_for_the_hour_is_told_in_numbers() {
        assert_eq!(too_slow(4_000_000_000, 1_200_000), None);
        assert_eq!(
            too_slow(4_294_967_296, 387_500).as_deref(),
            Some("An upload must end within one hour: this one needs 9.5 Mbit/s, and has 3.1.")
        );
    }
}

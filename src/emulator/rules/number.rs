//! The whole numbers of an init.

use serde_json::Value;

use crate::settings::{LenientNumbers, Settings};

/// Every whole number up to this one has an exact floating-point form.
const MOST_EXACT: f64 = 9_007_199_254_740_992.0;

/// Reads a whole number that is not negative: int64 or int32 in the documents. Text of digits and a fraction of zero are
/// accepted only if `lenient_numbers` says so (O-26).
pub(crate) fn whole(value: &Value, settings: &Settings) -> Option<u64> {
    if settings.lenient_numbers == LenientNumbers::Refuse {
        return value.as_u64();
    }
    match value {
        Value::String(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => text.parse().ok(),
        Value::Number(number) => number.as_u64().or_else(|| {
            let number = number.as_f64()?;
            let whole = number.fract() == 0.0 && (0.0..=MOST_EXACT).contains(&number);
            whole.then_some(number as u64)
        }),
        _ => None,
    }
}

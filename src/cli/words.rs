//! Numbers, times and outcomes as text.

use std::collections::BTreeMap;
use std::time::SystemTime;

use chunkferry::Progress;
use serde_json::Value;

use super::gauge::clock;
use super::pace::Pace;
use super::size::humane;

/// The progress of a file in ever fewer words; the longest has sent and accepted bytes apart.
pub(super) fn numbers(progress: &Progress, pace: &Pace) -> Vec<String> {
    if progress.total == 0 {
        return Vec::new();
    }
    let (sent, total) = (humane(progress.sent), humane(progress.total));
    let accepted = humane(progress.confirmed);
    let outlook = outlook(progress, pace);
    let mut words = vec![
        format!("{sent} sent, {accepted} accepted of {total}"),
        format!("{sent} of {total}"),
    ];
    words
        .iter_mut()
        .for_each(|words| words.extend(outlook.first().map(|all| format!("  {all}"))));
    words.extend(outlook);
    words
}

/// The progress of a URL that the service fetches. Its size may be unknown.
pub(super) fn fetched(progress: &Progress, pace: &Pace) -> Vec<String> {
    let sent = humane(progress.sent);
    if progress.total == progress.sent {
        return vec![format!("{sent} fetched")];
    }
    let outlook = outlook(progress, pace);
    let all = outlook
        .first()
        .map(|all| format!("  {all}"))
        .unwrap_or_default();
    let words = format!("{sent} fetched of {}{all}", humane(progress.total));
    [words].into_iter().chain(outlook).collect()
}

/// The rate with the remaining time, and the time alone; empty before anything was measured.
fn outlook(progress: &Progress, pace: &Pace) -> Vec<String> {
    let left = pace.seconds_for(progress.total.saturating_sub(progress.sent));
    let Some((rate, left)) = pace.rate().zip(left) else {
        return Vec::new();
    };
    let left = format!("{} left", clock(left));
    vec![format!("{}/s  {left}", humane(rate as u64)), left]
}

/// The sentence of a good end, from the fields of its line.
pub(super) fn good_news(name: &str, line: &Value) -> String {
    let text = |field: &str| line[field].as_str().unwrap_or_default();
    let since = moment(line, "delivered_at")
        .map(|at| format!(" since {}", when(at)))
        .unwrap_or_default();
    let (id, account) = (text("publish_id"), text("account"));
    // Only known facts are claimed: the name is the user's own, and the token may belong to anyone.
    let inbox = match line["creator_known"] == true {
        true => format!("{account}'s inbox"),
        false => format!("the inbox of the creator whose token was used (account {account})"),
    };
    match text("outcome") {
        "already_delivered" => {
            format!(
                "{name} is already in {inbox}{since} ({id}). Nothing sent. To send it again: --again"
            )
        }
        "sent" => format!(
            "{name} is with TikTok ({id}); the inbox is not confirmed. The same command follows it to the end."
        ),
        _ => format!("{name} is in {inbox} ({id})."),
    }
}

/// A time in a line.
pub(super) fn moment(line: &Value, field: &str) -> Option<SystemTime> {
    let time: jiff::Timestamp = line[field].as_str()?.parse().ok()?;
    Some(time.into())
}

/// A time in the local zone: `20 Nov 02:14`; without the day if it is today. The start of 1970 means unknown.
pub(super) fn when(time: SystemTime) -> String {
    let known = (time != SystemTime::UNIX_EPOCH).then(|| jiff::Zoned::try_from(time).ok());
    let Some(zoned) = known.flatten() else {
        return "an unknown time".to_owned();
    };
    let today = jiff::Zoned::now().date() == zoned.date();
    zoned
        .strftime(if today { "%H:%M" } else { "%-d %b %H:%M" })
        .to_string()
}

pub(super) fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map(|time| time.to_string())
        .unwrap_or_default()
}

/// The outcomes of a run's videos with their numbers: `2 delivered, 1 failed`.
pub(super) fn sum(outcomes: &BTreeMap<String, usize>) -> String {
    const WORDS: [(&str, &str, &str); 9] = [
        ("delivered", "delivered", "delivered"),
        (
            "already_delivered",
            "already delivered",
            "already delivered",
        ),
        ("sent", "handed over", "handed over"),
        ("failed", "failed", "failed"),
        ("source_changed", "changed", "changed"),
        (
            "capped",
            "waits for room in its inbox",
            "wait for room in their inboxes",
        ),
        ("needs_person", "needs a person", "need a person"),
        ("unknown", "unknown", "unknown"),
        ("retry", "to run again", "to run again"),
    ];
    let counted = WORDS.iter().filter_map(|(outcome, one, many)| {
        let number = *outcomes.get(*outcome)?;
        Some(format!("{number} {}", if number == 1 { one } else { many }))
    });
    counted.collect::<Vec<_>>().join(", ")
}

//! Numbers, times and endings in words.

use std::time::SystemTime;

use chunkferry::{Draft, Outcome, Progress};

use super::pace::Pace;
use super::size::humane;

/// The numbers beside a bar: sent and accepted told apart.
pub(super) fn numbers(progress: &Progress, pace: &Pace) -> String {
    let mut text = format!(
        "{} sent, {} accepted of {}",
        humane(progress.sent),
        humane(progress.confirmed),
        humane(progress.total)
    );
    text.push_str(&outlook(progress, pace));
    text
}

/// The numbers of a URL that the service fetches. Its size may be unknown.
pub(super) fn fetched(progress: &Progress, pace: &Pace) -> String {
    let sent = humane(progress.sent);
    if progress.total == progress.sent {
        return format!("{sent} fetched");
    }
    let left = outlook(progress, pace);
    format!("{sent} fetched of {}{left}", humane(progress.total))
}

fn outlook(progress: &Progress, pace: &Pace) -> String {
    let left = pace.seconds_for(progress.total.saturating_sub(progress.sent));
    match (pace.rate(), left) {
        (Some(rate), Some(left)) => format!(
            "  {}/s  {}:{:02} left",
            humane(rate as u64),
            left / 60,
            left % 60
        ),
        _ => String::new(),
    }
}

pub(super) fn good_news(name: &str, account: &str, draft: &Draft) -> String {
    let since = draft
        .delivered_at
        .map(|at| format!(" since {}", when(at)))
        .unwrap_or_default();
    let id = &draft.publish_id;
    match draft.outcome {
        Outcome::AlreadyDelivered => {
            format!(
                "{name} is already in {account}'s inbox{since} ({id}). Nothing sent. To send it again: --again"
            )
        }
        Outcome::Sent => format!(
            "{name} is with TikTok ({id}); the inbox is not confirmed. The same command follows it to the end."
        ),
        _ => format!("{name} is in {account}'s inbox ({id})."),
    }
}

pub(super) fn pending_cap(account: &str, retry_at: Option<SystemTime>) -> String {
    let then = match retry_at {
        Some(at) => format!("or run this again after {}", when(at)),
        None => "or run this again within 24 hours".to_owned(),
    };
    format!(
        "{account} has 5 drafts waiting, TikTok's limit. The creator posts or deletes one, {then}."
    )
}

/// A time for people, in their own zone: `20 Nov 02:14`; today's without the day. One that is not known is the start of
/// 1970.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_account_the_limit_and_the_way_on() {
        assert_eq!(
            pending_cap("lena", None),
            "lena has 5 drafts waiting, TikTok's limit. The creator posts or deletes one, or run this again within 24 hours."
        );
    }
}

//! The area beside the phones: counts, the review, and armed faults.

use super::html::{Html, html};
use super::view::View;

const COUNT: &str = "<li><b>{}</b> {}{}</li>";

const ALONE: &str = r#"<li class="alone">Only {} · <a href="/">show all</a></li>"#;

const FINDING: &str = r#"<li><div class="row"><b>{}</b><span class="who">{}</span></div><p>{}</p><p class="fact">{} <span class="mark">{}</span></p></li>"#;

const ARMED: &str = r#"<ul class="armed">{}</ul><button data-disarm>Disarm all</button>"#;

pub(super) fn summary(view: &View) -> Html {
    let requests = view.log.requests;
    let counts = [
        (view.log.inits, "upload"),
        (view.log.drafts, "draft"),
        (requests.put, "PUT"),
        (requests.status, "status call"),
        (
            requests.init + requests.token + requests.other,
            "other request",
        ),
    ];
    let count =
        |(count, what): (u64, &str)| html!(COUNT, count, what, if count == 1 { "" } else { "s" });
    let alone = view.creator.as_ref();
    let alone = alone.map(|name| html!(ALONE, name));
    html!(
        "{}{}",
        counts.into_iter().map(count).collect::<Html>(),
        alone
    )
}

pub(super) fn review(view: &View) -> Html {
    let finding = |finding: &crate::Finding| {
        html!(
            FINDING,
            finding.rule.replace('_', " "),
            finding.creator,
            finding.what,
            finding.fact,
            finding.mark
        )
    };
    match view.findings.is_empty() {
        true => html!("<li class=\"none\">Nothing to complain about.</li>"),
        false => view.findings.iter().map(finding).collect(),
    }
}

pub(super) fn faults(view: &View) -> Html {
    let armed = view
        .faults
        .iter()
        .map(|script| html!("<li><code>{}</code></li>", script));
    match view.faults.is_empty() {
        true => html!("<p class=\"none\">None armed.</p>"),
        false => html!(ARMED, armed.collect::<Html>()),
    }
}

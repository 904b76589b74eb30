//! What lies beside the phones: the counts, the review, the faults that are armed.

use super::html::{Html, html};
use super::view::View;

const COUNTS: &str = r#"<li><b>{}</b> uploads</li><li><b>{}</b> drafts</li><li><b>{}</b> PUTs</li><li><b>{}</b> status calls</li><li><b>{}</b> other requests</li>"#;

const ALONE: &str = r#"<li class="alone">Only {} · <a href="/">show all</a></li>"#;

const FINDING: &str = r#"<li><div class="row"><b>{}</b><span class="who">{}</span></div><p>{}</p><p class="fact">{} <span class="mark">{}</span></p></li>"#;

const ARMED: &str = r#"<ul class="armed">{}</ul><button data-disarm>Disarm all</button>"#;

pub(super) fn summary(view: &View) -> Html {
    let requests = view.log.requests;
    let alone = view.creator.as_ref();
    html!(
        "{}{}",
        html!(
            COUNTS,
            view.log.inits,
            view.log.drafts,
            requests.put,
            requests.status,
            requests.init + requests.other
        ),
        alone.map(|name| html!(ALONE, name))
    )
}

pub(super) fn review(view: &View) -> Html {
    let finding = |finding: &crate::emulator::Finding| {
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

//! The settings; those that differ from their default come first.

use super::html::{Html, html};
use super::view::View;
use crate::settings::{Setting, Settings};

const SWITCH: &str = r#"<li id="set-{}" class="switch{}"><label for="in-{}"><code>{}</code></label>{}
<p>{} <span class="mark">{}</span></p>{}</li>"#;

const BACK: &str = r#"<p class="differs">Differs from the default. <button data-set="{}" data-value="{}">Back to {}</button></p>"#;

const SELECT: &str = r#"<select id="in-{}" data-set="{}">{}</select>"#;

const INPUT: &str = r#"<input id="in-{}" data-set="{}" value="{}" title="{}" autocomplete="off" spellcheck="false">"#;

const ALL: &str = r#"<details id="all-settings"><summary>{} settings with their defaults</summary><ul class="switches">{}</ul></details>"#;

pub(super) fn switches(view: &View) -> Html {
    let all: Vec<(Setting, String)> = Settings::list()
        .into_iter()
        .map(|setting| {
            let value = view.settings.get(setting.key).unwrap_or_default();
            (setting, value)
        })
        .collect();
    let differs = |(setting, value): &&(Setting, String)| setting.default != *value;
    let changed: Html = all.iter().filter(differs).map(switch).collect();
    let changed = match changed.is_empty() {
        true => html!("<p class=\"none\">All settings have their defaults.</p>"),
        false => html!("<ul class=\"switches\">{}</ul>", changed),
    };
    let rest = all.iter().filter(|one| !differs(one));
    let count = rest.clone().count() as u64;
    let rest: Html = rest.map(switch).collect();
    let own = view.own.iter().map(|(whose, key, value)| {
        html!(
            "<li><code>{}={}</code> for {} alone</li>",
            key,
            value,
            whose
        )
    });
    let own: Html = own.collect();
    let own = match own.is_empty() {
        true => own,
        false => html!("<ul class=\"own\">{}</ul>", own),
    };
    html!("{}{}{}", changed, own, html!(ALL, count, rest))
}

fn switch((setting, value): &(Setting, String)) -> Html {
    let Setting { key, default, .. } = setting;
    let differs = default != value;
    let back = differs.then(|| html!(BACK, key, default, default));
    let marker = if differs { " differs" } else { "" };
    let control = control(setting, value);
    html!(
        SWITCH,
        key,
        marker,
        key,
        key,
        control,
        setting.meaning,
        setting.mark,
        back
    )
}

/// A list of values if there is one, else a text field.
fn control(setting: &Setting, value: &str) -> Html {
    let words: Vec<&str> = setting.values.split(", ").collect();
    if words.iter().any(|word| word.contains(' ')) {
        return html!(INPUT, setting.key, setting.key, value, setting.values);
    }
    let option = |word: &&str| match *word == value {
        true => html!("<option selected>{}</option>", word),
        false => html!("<option>{}</option>", word),
    };
    let options: Html = words.iter().map(option).collect();
    html!(SELECT, setting.key, setting.key, options)
}

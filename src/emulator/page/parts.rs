//! The parts of the page, each of which changes on its own.

use super::html::Html;
use super::view::View;
use super::{desk, inbox, settings, traffic, uploads};

/// Each part with the id of its element.
pub(super) fn parts(view: &View) -> [(&'static str, Html); 9] {
    [
        ("summary", desk::summary(view)),
        ("news", inbox::news(view)),
        ("inbox", inbox::phones(view)),
        ("uploads", uploads::cards(view)),
        ("requests", traffic::requests(view)),
        ("webhooks", traffic::webhooks(view)),
        ("review", desk::review(view)),
        ("faults", desk::faults(view)),
        ("settings", settings::switches(view)),
    ]
}

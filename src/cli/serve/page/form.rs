//! The fields of a form that a browser sends.

use std::collections::BTreeMap;

use axum::body::Body;

use crate::serve::problem::Problem;
use crate::serve::request;

/// Most bytes of a form: the longest path and a signed URL fit.
const MOST: usize = 64 << 10;

/// The fields of a form, each once.
#[derive(Clone, Default)]
pub(in crate::serve) struct Form(BTreeMap<String, String>);

impl Form {
    pub(in crate::serve) async fn read(body: Body) -> Result<Self, Problem> {
        let text = request::body(body, MOST).await?;
        let fields = url::form_urlencoded::parse(&text).into_owned();
        Ok(Self(fields.collect()))
    }

    /// The text of a field; empty if there is none.
    pub(in crate::serve) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

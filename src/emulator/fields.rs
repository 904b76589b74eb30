//! The `fields` of a query: the fields of an object, their scopes and values.

use serde_json::{Map, Value};
use url::form_urlencoded;

use super::answer::Refusal;
use super::service::Service;
use super::settings::Settings;
use super::tokens::Unfit;

/// A field of an object that describes a `T`.
pub(crate) struct Field<T> {
    pub(crate) name: &'static str,
    /// The scope that the field needs.
    pub(crate) scope: &'static str,
    pub(crate) value: fn(&T) -> Value,
}

/// Reads `fields=a,b` of a query: each must be known, and the token must have its scope (D ERR).
pub(crate) fn chosen<'a, T>(
    known: &'a [Field<T>],
    query: &str,
    token: &str,
    service: &Service,
    settings: &Settings,
) -> Result<Vec<&'a Field<T>>, Refusal> {
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let asked = pairs.find_map(|(key, value)| (key == "fields").then_some(value));
    let asked = asked.filter(|asked| !asked.is_empty());
    let asked = asked.ok_or_else(|| Refusal::param("fields is required"))?;
    let mut chosen: Vec<&Field<T>> = Vec::new();
    for name in asked.split(',') {
        let field = known.iter().find(|field| field.name == name);
        let field = field.ok_or_else(|| Refusal::param(format!("{name} is no field")))?;
        let fit = service
            .tokens
            .admit(token, &[field.scope], service.now(), settings);
        if fit == Err(Unfit::Scope) {
            return Err(Refusal::new(
                "scope_permission_missed",
                format!("{name} needs the scope {}", field.scope),
            ));
        }
        // A field that is named twice is answered once.
        if !chosen.iter().any(|other| other.name == name) {
            chosen.push(field);
        }
    }
    Ok(chosen)
}

/// The object with only these fields.
pub(crate) fn object<T>(fields: &[&Field<T>], of: &T) -> Value {
    let pair = |field: &&Field<T>| (field.name.to_owned(), (field.value)(of));
    Value::Object(fields.iter().map(pair).collect::<Map<_, _>>())
}

//! The body of an operation, as an argument.

use super::parameter::{Arguments, form_fence, json_fence};
use super::{Document, Unfit};
use proctor_model::catalogue::{BODY_ARGUMENT, HttpBody, is_json_kind, is_method_field};
use serde_json::{Map, Value, json};

/// A kind of body that is offered.
struct Kind<'v> {
    media: &'v Value,
    body: HttpBody,
    /// Its name, where it is not the usual one.
    content_type: Option<String>,
}

impl Document<'_> {
    /// How the body is written, and as what where that is not the usual. An operation whose body can't be written is none: a
    /// request without it would say something else.
    pub(super) fn take_body(
        &self,
        arguments: &mut Arguments,
        operation: &Value,
    ) -> Result<Option<(HttpBody, Option<String>)>, Unfit> {
        let Some(body) = operation.get("requestBody") else {
            return Ok(None);
        };
        let body = self.resolved(body)?;
        let required = body.get("required") == Some(&Value::Bool(true));
        let content = body.get("content").and_then(Value::as_object);
        let kind = match content.and_then(offered) {
            None => self.admitted(content)?,
            named => named,
        };
        let kind = kind.ok_or(Unfit::LeaveOut("its body is neither JSON nor a form"))?;
        let is_form = kind.body == HttpBody::Form;
        if is_form && !is_plain_form(kind.media) {
            return Err(Unfit::LeaveOut(
                "fields of its form are encoded in a way that is not offered",
            ));
        }
        let mut schema = match kind.media.get("schema") {
            Some(schema) if needs_method(self.resolved(schema)?) => {
                return Err(Unfit::LeaveOut(
                    "its body needs a method that no argument sets",
                ));
            }
            Some(schema) => self.schema(schema, 0)?,
            None => json!({}),
        };
        match kind.body {
            HttpBody::Form => form_fence(&mut schema),
            HttpBody::Json => json_fence(&mut schema),
        }
        arguments.properties.insert(BODY_ARGUMENT.into(), schema);
        if required {
            arguments.required.push(BODY_ARGUMENT.into());
        }
        Ok(Some((kind.body, kind.content_type)))
    }

    /// JSON, where no kind that is written is named, but a range admits it; the narrower range says what it is
    /// (OpenAPI 3.1, section 4.8.13.1). Where the body is a file's bytes, JSON is none.
    fn admitted<'v>(
        &self,
        content: Option<&'v Map<String, Value>>,
    ) -> Result<Option<Kind<'v>>, Unfit> {
        let under = |range: &str| content?.iter().find(|(name, _)| essence(name) == range);
        let Some((_, media)) = under("application/*").or_else(|| under("*/*")) else {
            return Ok(None);
        };
        let format = match media.get("schema") {
            Some(schema) => self.resolved(schema)?.get("format"),
            None => None,
        };
        let is_file = format.is_some_and(|format| format == "binary");
        Ok((!is_file).then_some(Kind {
            media,
            body: HttpBody::Json,
            content_type: None,
        }))
    }
}

/// The kind of a body that is written: JSON, by whatever name, before a form.
fn offered(content: &Map<String, Value>) -> Option<Kind<'_>> {
    if let Some((media, content_type)) = as_json(content) {
        return Some(Kind {
            media,
            body: HttpBody::Json,
            content_type,
        });
    }
    let (_, media) = of_kind(content, |name| name == "application/x-www-form-urlencoded")?;
    Some(Kind {
        media,
        body: HttpBody::Form,
        content_type: None,
    })
}

/// What is said of JSON, and its name where that is not the usual.
pub(super) fn as_json(content: &Map<String, Value>) -> Option<(&Value, Option<String>)> {
    let usual = of_kind(content, |name| name == "application/json");
    let usual = usual.map(|(_, media)| (media, None));
    usual.or_else(|| {
        let (name, media) = of_kind(content, is_json_kind)?;
        Some((media, Some(name)))
    })
}

fn of_kind(
    content: &Map<String, Value>,
    is_wanted: impl Fn(&str) -> bool,
) -> Option<(String, &Value)> {
    let mut kinds = content.iter().map(|(name, media)| (essence(name), media));
    kinds.find(|(name, _)| is_wanted(name))
}

/// Whether nothing fits without a field that stands for another method.
fn needs_method(schema: &Value) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    let mut names = required.into_iter().flatten().filter_map(Value::as_str);
    names.any(is_method_field)
}

/// A media type without its parameters.
pub(super) fn essence(name: &str) -> String {
    let essence = name.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// Whether all fields of a form are written as they are where nothing is said of them.
fn is_plain_form(media: &Value) -> bool {
    let encodings = media.get("encoding").and_then(Value::as_object);
    encodings.into_iter().flatten().all(|(_, encoding)| {
        let usual = |key: &str, usual: Value| encoding.get(key).is_none_or(|said| *said == usual);
        let kind = encoding.get("contentType").and_then(Value::as_str);
        usual("style", "form".into())
            && usual("explode", true.into())
            && kind.is_none_or(|kind| kind.trim().starts_with("text/plain"))
    })
}

//! How a tool of an HTTP API becomes a request (OpenAPI 3.0 and 3.1).

use serde::{Deserialize, Serialize};

/// The methods that a tool may use.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum HttpMethod {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
}

impl HttpMethod {
    /// Name as on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }
}

/// Where an argument goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParameterPlace {
    /// A whole segment, or a part of one, of the path: `{name}` in the template.
    Path,
    /// The query; an array is written as [`ListForm`] says.
    Query,
    /// A header; an array becomes one value with commas.
    Header,
}

/// How a list is written into the query.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ListForm {
    /// The name once for each element (`style: form`, `explode: true`).
    #[default]
    Repeated,
    /// One value with commas (`style: form`, `explode: false`).
    Commas,
}

impl ListForm {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// One argument of a tool.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpParameter {
    /// Name of the argument.
    pub argument: String,
    /// Name in the request.
    pub name: String,
    /// Where it goes.
    pub place: ParameterPlace,
    /// How a list is written, in the query.
    #[serde(default, skip_serializing_if = "ListForm::is_usual")]
    pub list: ListForm,
}

/// How the argument `body` is written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HttpBody {
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`, of an object of scalars.
    Form,
}

/// The argument that becomes the request's body.
pub const BODY_ARGUMENT: &str = "body";

/// The request that a tool of an HTTP API makes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpBinding {
    /// Its method.
    pub method: HttpMethod,
    /// Template of its path below the server's address: `/pets/{id}`.
    pub path: String,
    /// Where the arguments go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<HttpParameter>,
    /// How the argument `body` is written; absent: no body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<HttpBody>,
    /// What a body in JSON is called, where that is not `application/json`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// What its answers may be, the most wanted first: media types, or ranges of them. Absent: JSON. Whatever else there is is taken
    /// as well.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accept: Vec<String>,
}

/// Most kinds of answers that are named, so that the header with them is short.
pub const ACCEPT_MAX: usize = 8;
/// Longest name of such a kind, in bytes: each tool has its own, and all of them are part of a tenant's configuration.
const MEDIA_RANGE_BYTES_MAX: usize = 128;

/// A binding that can't make a sound request.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BindingError {
    /// The path.
    #[error(
        "path: begins with /, has no query, fragment, dot segment, empty segment or percent sign"
    )]
    Path,
    /// Placeholders and path parameters.
    #[error("path: each placeholder is a path parameter, and each path parameter a placeholder")]
    Placeholder,
    /// A header of ours, or none at all.
    #[error(
        "parameters: a header is named by letters, digits and -, and is none that the edge sets itself"
    )]
    Header,
    /// The name of a body.
    #[error("content_type: a media type that ends in +json, of a body in JSON")]
    ContentType,
    /// The kinds of its answers.
    #[error("accept: at most {ACCEPT_MAX} media types, without parameters")]
    Accept,
    /// Another method.
    #[error("parameters: one of the query is where servers look for another method")]
    Method,
    /// Two parameters in one place, or two for one argument.
    #[error("parameters: an argument, or a name in one place, is there twice")]
    Twice,
}

/// Headers that an argument never sets: what frames the message, routes it, speaks for somebody, or has a server take it for
/// another request than it is.
const RESERVED_HEADERS: [&str; 28] = [
    "accept-encoding",
    "authorization",
    "cf-connecting-ip",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "true-client-ip",
    "upgrade",
    "via",
    "x-client-ip",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-real-ip",
    "x-rewrite-url",
    "x-cluster-client-ip",
];

/// Names of the same kind, by how they begin.
const RESERVED_PREFIXES: [&str; 3] = ["proxy-", "x-forwarded", "x-original-"];

impl HttpBinding {
    /// The names of the placeholders in the path, in order.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.path
            .split('{')
            .skip(1)
            .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
    }

    /// # Errors
    /// What is wrong with it.
    pub fn check(&self) -> Result<(), BindingError> {
        self.check_path()?;
        let json = self.body == Some(HttpBody::Json);
        let content_type = self.content_type.as_deref();
        if content_type.is_some_and(|kind| !json || !is_json_kind(kind)) {
            return Err(BindingError::ContentType);
        }
        if self.accept.len() > ACCEPT_MAX || !self.accept.iter().all(|kind| is_media_range(kind)) {
            return Err(BindingError::Accept);
        }
        let placeholders: Vec<_> = self.placeholders().collect();
        let in_path = |parameter: &&HttpParameter| parameter.place == ParameterPlace::Path;
        let of_path: Vec<_> = self.parameters.iter().filter(in_path).collect();
        let known = |name: &&&str| of_path.iter().any(|parameter| parameter.name == **name);
        if placeholders.iter().filter(known).count() != placeholders.len()
            || placeholders.len() != of_path.len()
        {
            return Err(BindingError::Placeholder);
        }
        for (index, parameter) in self.parameters.iter().enumerate() {
            if parameter.place == ParameterPlace::Header && !is_free_header(&parameter.name) {
                return Err(BindingError::Header);
            }
            if parameter.place == ParameterPlace::Query && is_method_field(&parameter.name) {
                return Err(BindingError::Method);
            }
            let clashes = |other: &HttpParameter| {
                other.argument == parameter.argument
                    || (other.place == parameter.place
                        && other.name.eq_ignore_ascii_case(&parameter.name))
            };
            let taken = self.body.is_some() && parameter.argument == BODY_ARGUMENT;
            if taken || self.parameters.iter().skip(index + 1).any(clashes) {
                return Err(BindingError::Twice);
            }
        }
        Ok(())
    }

    fn check_path(&self) -> Result<(), BindingError> {
        let plain = self
            .path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"?#%\\\"<>^`|".contains(&byte));
        let balanced = self.path.matches('{').count() == self.path.matches('}').count();
        let mut segments = self.path.split('/').skip(1).peekable();
        let mut sound = self.path.starts_with('/') && plain && balanced;
        while let Some(segment) = segments.next() {
            let last = segments.peek().is_none();
            sound &= !matches!(segment, "." | "..") && (last || !segment.is_empty());
        }
        if sound {
            Ok(())
        } else {
            Err(BindingError::Path)
        }
    }
}

/// Whether a body in JSON may be sent as this: RFC 6839, section 3.1, without parameters.
#[must_use]
pub fn is_json_kind(kind: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/+-._".contains(&byte);
    kind.bytes().all(plain) && kind.matches('/').count() == 1 && kind.ends_with("+json")
}

/// Whether this is a media type or a range of them, without parameters (RFC 6838, section 4.2).
#[must_use]
pub fn is_media_range(kind: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+*".contains(&byte);
    let named = |name: &str| !name.is_empty() && name.bytes().all(plain);
    kind.len() <= MEDIA_RANGE_BYTES_MAX
        && kind
            .split_once('/')
            .is_some_and(|(top, sub)| named(top) && named(sub))
}

/// Whether an argument may set this header. Not one with an underscore: many servers take it for the header with a `-` in
/// its place, which may be reserved.
#[must_use]
pub fn is_free_header(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !RESERVED_HEADERS.contains(&lower.as_str())
        && !RESERVED_PREFIXES
            .iter()
            .any(|prefix| lower.starts_with(prefix))
}

/// Where servers look for the method that is meant, in a form, in an object in JSON or in the query, and forget the one that was
/// sent: Rails, Laravel, Spring and many more; Slim; Salesforce; ASP.NET MVC. As each is usually written.
pub const METHOD_FIELDS: [&str; 4] = [
    "_method",
    "_METHOD",
    "_HttpMethod",
    "X-HTTP-Method-Override",
];

/// Whether a server may take a field of this name for one of [`METHOD_FIELDS`]. Some look at no case; PHP takes a dot for `_`, and
/// leaves out what is behind U+0000; PHP and Rack leave out blanks and brackets around a name.
#[must_use]
pub fn is_method_field(name: &str) -> bool {
    let name = name.split('\0').next().unwrap_or_default();
    let around = |char: char| char.is_whitespace() || "[]".contains(char);
    let name = name.trim_matches(around).replace('.', "_");
    METHOD_FIELDS
        .iter()
        .any(|field| field.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn checked(path: &str, parameters: serde_json::Value) -> Result<(), BindingError> {
        let binding = json!({ "method": "GET", "path": path, "parameters": parameters });
        serde_json::from_value::<HttpBinding>(binding)
            .unwrap()
            .check()
    }

    #[test]
    fn a_binding_is_sound_or_refused() {
        let id = json!([{"argument": "id", "name": "id", "place": "path"}]);
        for good in ["/pets/{id}", "/pets/{id}/", "/pets/a-{id}.json"] {
            assert_eq!(checked(good, id.clone()), Ok(()), "{good}");
        }
        for bad in [
            "pets/{id}",
            "/a/../{id}",
            "/{id}?x=1",
            "/%2e/{id}",
            "//{id}",
            "/{id",
            "/{id} ",
        ] {
            assert_eq!(checked(bad, id.clone()), Err(BindingError::Path), "{bad}");
        }
        assert_eq!(checked("/pets", id.clone()), Err(BindingError::Placeholder));
        assert_eq!(
            checked("/pets/{id}/{other}", id),
            Err(BindingError::Placeholder)
        );
        for name in [
            "Authorization",
            "host",
            "X-Forwarded-For",
            "X_Request_Id",
            "Transfer-Encoding",
            "X-HTTP-Method-Override",
            "X-Original-URL",
            "a b",
            "a\r\nb",
            "",
        ] {
            let header = json!([{"argument": "h", "name": name, "place": "header"}]);
            assert_eq!(
                checked("/pets", header),
                Err(BindingError::Header),
                "{name:?}"
            );
        }
        let twice = json!([
            {"argument": "a", "name": "q", "place": "query"},
            {"argument": "b", "name": "Q", "place": "query"},
        ]);
        assert_eq!(checked("/pets", twice), Err(BindingError::Twice));
    }

    #[test]
    fn kinds_of_answers_are_media_types() {
        let checked = |accept: &[&str]| {
            let binding = json!({ "method": "GET", "path": "/", "accept": accept });
            serde_json::from_value::<HttpBinding>(binding)
                .unwrap()
                .check()
        };
        assert_eq!(checked(&["application/vnd.pets+json", "text/*"]), Ok(()));
        assert_eq!(checked(&["text/csv"; ACCEPT_MAX]), Ok(()));
        assert_eq!(
            checked(&["text/csv"; ACCEPT_MAX + 1]),
            Err(BindingError::Accept)
        );
        let long = format!("text/{}", "x".repeat(MEDIA_RANGE_BYTES_MAX));
        for bad in [
            "json",
            "/json",
            "text/",
            "text/csv;q=1",
            "text/csv, */*",
            "a/b/c",
            "text/csv\r\nX-Admin: 1",
            long.as_str(),
        ] {
            assert_eq!(checked(&[bad]), Err(BindingError::Accept), "{bad:?}");
        }
    }

    #[test]
    fn a_method_is_not_named_in_the_query() {
        for name in [
            "_method",
            "_Method",
            ".method",
            " _method",
            "[_method]",
            "_method\0x",
            "_httpmethod",
            "x-http-method-override",
        ] {
            assert!(is_method_field(name), "{name:?}");
            let query = json!([{"argument": "m", "name": name, "place": "query"}]);
            assert_eq!(checked("/pets", query), Err(BindingError::Method));
        }
        for name in [
            "method",
            "payment_method",
            "_method_id",
            "_methods",
            "x",
            "",
        ] {
            assert!(!is_method_field(name), "{name:?}");
        }
    }

    #[test]
    fn a_body_has_another_name_only_if_that_is_json_too() {
        let checked = |body: &str, content_type: &str| {
            let binding = json!({
                "method": "PATCH", "path": "/", "body": body, "content_type": content_type,
            });
            serde_json::from_value::<HttpBinding>(binding)
                .unwrap()
                .check()
        };
        assert_eq!(checked("json", "application/merge-patch+json"), Ok(()));
        for (body, bad) in [
            ("form", "application/merge-patch+json"),
            ("json", "text/html"),
            ("json", "application/a+json; charset=x"),
            ("json", "application/a\r\nX-Admin: 1\r\n+json"),
            ("json", "+json"),
        ] {
            let checked = checked(body, bad);
            assert_eq!(checked, Err(BindingError::ContentType), "{body} {bad}");
        }
    }
}

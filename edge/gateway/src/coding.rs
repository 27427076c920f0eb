//! Content codings (RFC 9110, section 8.4): none is taken, of agents and of tool servers alike. What a body inflates to could not be
//! bounded.

use http::HeaderMap;
use http::header::CONTENT_ENCODING;

/// Whether a body has to be decoded before it can be read. Some senders say of one that is as it is that it is (`identity`).
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    let is_coding = |text: &str| !text.is_empty() && !text.eq_ignore_ascii_case("identity");
    let mut said = headers.get_all(CONTENT_ENCODING).iter();
    said.any(|value| match value.to_str() {
        Ok(list) => list.split(',').any(|coding| is_coding(coding.trim())),
        Err(_) => true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_is_as_it_is_is_not_encoded() {
        let cases: [(&[&str], bool); 13] = [
            (&[], false),
            (&[""], false),
            (&["identity"], false),
            (&["Identity"], false),
            (&[" IDENTITY , identity,"], false),
            (&["identity", ""], false),
            (&["gzip"], true),
            (&["GZIP"], true),
            (&["identity, gzip"], true),
            (&["identity", "br"], true),
            (&["identityx"], true),
            (&["identity;q=1"], true),
            (&["\u{e9}"], true),
        ];
        for (said, encoded) in cases {
            let mut headers = HeaderMap::new();
            for value in said {
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(CONTENT_ENCODING, value);
            }
            assert_eq!(is_encoded(&headers), encoded, "{said:?}");
        }
    }
}

use super::*;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use serde_json::json;

fn thumbprint(key: Value) -> String {
    let key: Jwk = serde_json::from_value(key).unwrap();
    key.thumbprint(ThumbprintHash::SHA256).unwrap()
}

#[test]
fn published_thumbprints() {
    // RFC 7638, section 3.1.
    let rsa = json!({
        "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    });
    assert_eq!(
        thumbprint(rsa),
        "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    );
    // RFC 8037, appendix A.3.
    let ed = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    assert_eq!(
        thumbprint(ed),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    // RFC 9449, section 6.1, of the key of its proofs.
    let ec = json!({
        "kty": "EC", "crv": "P-256", "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
        "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
    });
    assert_eq!(
        thumbprint(ec),
        "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
    );
}

// RFC 9449, section 4.1: POST https://server.example.com/token.
const PUBLISHED: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";
// RFC 9449, section 7.1: GET https://resource.example.org/protectedresource, with this token.
const PUBLISHED_WITH_TOKEN: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
const PUBLISHED_TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

fn place(public: &str) -> Place {
    Place::new(
        "127.0.0.1:8080".parse().unwrap(),
        (!public.is_empty()).then(|| public.parse().unwrap()),
    )
}

#[test]
fn published_proofs() {
    let used = Used::default();
    let header = HeaderValue::from_static(PUBLISHED);
    let presented = Presented {
        token: None,
        scheme: Scheme::Bearer,
        proof: Some(&header),
        method: &Method::POST,
        path: "/token",
    };
    let now = (Timestamp::from_secs(1_562_262_620), Duration::ZERO);
    let server = place("https://server.example.com");
    let key = check(&presented, &server, &used, now, |_| true).unwrap();
    assert_eq!(key.as_str(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
    let again = check(&presented, &server, &used, now, |_| true);
    assert_eq!(again, Err(Reason::ProofInvalid), "once");

    let header = HeaderValue::from_static(PUBLISHED_WITH_TOKEN);
    let presented = Presented {
        token: Some(PUBLISHED_TOKEN),
        scheme: Scheme::Dpop,
        proof: Some(&header),
        method: &Method::GET,
        path: "/protectedresource",
    };
    let server = place("https://resource.example.org");
    let other = Presented {
        token: Some("another"),
        ..presented
    };
    assert_eq!(
        check(&other, &server, &used, now, |_| true),
        Err(Reason::ProofInvalid)
    );
    let wrong = check(&presented, &server, &used, now, |_| false);
    assert_eq!(wrong, Err(Reason::ProofInvalid), "not remembered");
    let proven = check(&presented, &server, &used, now, |_| true);
    assert_eq!(proven, Ok(key));
}

/// A proof of a key of the test's, with these in place of the good members.
fn sign(pair: &Ed25519KeyPair, header: &Value, claims: &Value) -> HeaderValue {
    let key = URL_SAFE_NO_PAD.encode(pair.public_key().as_ref());
    let merged = |mut good: Value, other: &Value| {
        let members = good.as_object_mut().unwrap();
        members.extend(other.as_object().unwrap().clone());
        members.retain(|_, value| !value.is_null());
        URL_SAFE_NO_PAD.encode(good.to_string())
    };
    let header = merged(
        json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": { "kty": "OKP", "crv": "Ed25519", "x": key } }),
        header,
    );
    let ath = URL_SAFE_NO_PAD.encode(cache_key("pct_x"));
    let claims = merged(
        json!({ "jti": "1", "htm": "POST", "htu": "http://127.0.0.1:8080/v1/mcp", "iat": 1_000_000, "ath": ath }),
        claims,
    );
    let message = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(pair.sign(message.as_bytes()).as_ref());
    HeaderValue::from_str(&format!("{message}.{signature}")).unwrap()
}

#[test]
fn a_proof_is_for_one_request_with_one_token() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let other = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let here = place("");
    let shown = |proof: Option<&HeaderValue>| {
        let presented = Presented {
            token: Some("pct_x"),
            scheme: Scheme::Dpop,
            proof,
            method: &Method::POST,
            path: "/v1/mcp",
        };
        let now = (Timestamp::from_secs(1_000_000), Duration::ZERO);
        check(&presented, &here, &Used::default(), now, |_| true)
    };
    let with = |header: Value, claims: Value| shown(Some(&sign(&pair, &header, &claims)));
    assert_eq!(shown(None), Err(Reason::ProofMissing));
    let none = || json!({});
    assert!(with(none(), none()).is_ok());
    for good in [
        json!({ "htu": "http://localhost:8080/v1/mcp?x=1#y" }),
        json!({ "htu": "HTTP://127.0.0.1:8080/v1/mcp" }),
        json!({ "iat": 999_940 }),
        json!({ "iat": 1_000_060 }),
        json!({ "iat": 1_000_000.5 }),
    ] {
        assert!(with(none(), good.clone()).is_ok(), "{good}");
    }
    for bad in [
        json!({ "jti": null }),
        json!({ "jti": "" }),
        json!({ "jti": "x".repeat(257) }),
        json!({ "htm": "GET" }),
        json!({ "htm": "post" }),
        json!({ "htm": null }),
        json!({ "htu": "http://127.0.0.1:8080/v1/mcp/" }),
        json!({ "htu": "http://127.0.0.1:8081/v1/mcp" }),
        json!({ "htu": "https://127.0.0.1:8080/v1/mcp" }),
        json!({ "htu": "http://evil.example:8080/v1/mcp" }),
        json!({ "htu": "http://a@127.0.0.1:8080/v1/mcp" }),
        json!({ "htu": "/v1/mcp" }),
        json!({ "htu": null }),
        json!({ "iat": 999_939 }),
        json!({ "iat": 1_000_061 }),
        json!({ "iat": "1000000" }),
        json!({ "iat": null }),
        json!({ "ath": "x" }),
        json!({ "ath": null }),
    ] {
        assert_eq!(
            with(none(), bad.clone()),
            Err(Reason::ProofInvalid),
            "{bad}"
        );
    }
    let x = URL_SAFE_NO_PAD.encode(other.public_key().as_ref());
    let private = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "d": "AA" });
    for bad in [
        json!({ "typ": "JWT" }),
        json!({ "typ": null }),
        json!({ "alg": "none" }),
        json!({ "alg": "HS256" }),
        json!({ "alg": "ES256" }),
        json!({ "jwk": null }),
        json!({ "jwk": private }),
        json!({ "jwk": { "kty": "OKP", "crv": "Ed25519", "x": x } }),
        json!({ "jwk": { "kty": "oct", "k": "AAAA" } }),
        json!({ "crit": ["exp"] }),
    ] {
        assert_eq!(
            with(bad.clone(), none()),
            Err(Reason::ProofInvalid),
            "{bad}"
        );
    }
}

#[test]
fn a_used_proof_is_remembered_for_as_long_as_it_could_be_good() {
    let used = Used::default();
    let proven = |jti: &str| Proven {
        key: "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
            .parse()
            .unwrap(),
        jti: jti.to_owned(),
    };
    let at = Duration::from_secs;
    assert!(used.first(&proven("a"), at(100)));
    assert!(used.first(&proven("b"), at(110)));
    for later in [110, 200, 221, 230] {
        assert!(!used.first(&proven("b"), at(later)), "{later}");
    }
    assert!(used.first(&proven("c"), at(231)));
    assert!(used.first(&proven("b"), at(600)), "long over");
}

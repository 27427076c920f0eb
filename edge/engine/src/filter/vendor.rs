//! Keys of services without a class of their own: told by what their issuers put before them.
//!
//! One line a form. A beginning that nothing else has stands for itself; a short one counts only before what looks
//! random, so that names and paths are none.

use super::provider::{Form, base64, dashed, dotted, form, lower, lower_hex, upper, word};
use super::text::{Text, alnum, entropy};
use proctor_model::content::ContentClass as Class;

/// Longer than any limit: as long as it goes on.
pub(super) const ANY: usize = 512;

pub(super) const fn key(
    literal: &'static str,
    of: fn(u8) -> bool,
    least: usize,
    most: usize,
) -> Form {
    form(literal, Class::GenericSecret, of, least, most)
}

/// A beginning that words have as well.
const fn weak(literal: &'static str, of: fn(u8) -> bool, least: usize, most: usize) -> Form {
    Form {
        also: Some(random),
        ..key(literal, of, least, most)
    }
}

pub(super) fn hex(b: u8) -> bool {
    b.is_ascii_hexdigit()
}

fn hex_word(b: u8) -> bool {
    hex(b) || b == b'_'
}

fn hex_dashed(b: u8) -> bool {
    hex(b) || b == b'-'
}

fn upper_dashed(b: u8) -> bool {
    upper(b) || b == b'-'
}

fn base32(b: u8) -> bool {
    b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b)
}

/// Base64 of either alphabet, in parts.
pub(super) fn any(b: u8) -> bool {
    base64(b) || dotted(b)
}

/// What begins so and goes on so is a key.
pub(super) const KEYS: &[Form] = &[
    key("ops_eyJ", base64, 200, ANY),
    weak("A3-", upper_dashed, 34, 38),
    key("p8e-", alnum, 32, 32),
    key("AIK_CI_", alnum, 20, ANY),
    key("AIK_SECRET_", alnum, 40, ANY),
    weak("LTAI", alnum, 12, 30),
    key("akab-", dashed, 33, 33),
    key("amzn.mws.", hex_dashed, 36, 36),
    key("apify_api_", alnum, 30, ANY),
    key("cmVmd", alnum, 59, 59),
    key("aact_", any, 40, ANY),
    key("ATAT", any, 80, ANY),
    key("ATCTT3", any, 60, ANY),
    weak("ATBB", any, 28, ANY),
    weak("ATTA", alnum, 64, 80),
    key("BBDC-", base64, 30, ANY),
    weak("BSA", dashed, 26, 40),
    weak("bkua_", lower, 40, ANY),
    key("gcntfy-", dashed, 60, ANY),
    key("sk_car_", word, 20, ANY),
    weak("csk-", lower, 40, 64),
    key("CCIPAT_", word, 40, ANY),
    key("CCIPRJ_", word, 40, ANY),
    key("CLOJARS_", alnum, 50, ANY),
    key("cfat_", word, 40, ANY),
    key("cfut_", word, 40, ANY),
    key("cfk_", word, 40, ANY),
    key("v1.0-", hex_dashed, 160, 180),
    weak("csa_", alnum, 36, 44),
    key("cosmo_", lower_hex, 32, 32),
    key("CCDB1_", word, 40, ANY),
    key("configcat-sdk-1/", any, 40, ANY),
    weak("cio", alnum, 32, 32),
    weak("db-", alnum, 29, 29),
    weak("da2-", lower, 26, 26),
    weak("dapi", lower_hex, 32, 32),
    key("dnkey-", any, 60, ANY),
    weak("ddp_", alnum, 36, 36),
    weak("ddo_", alnum, 36, 36),
    key("dvc_client_", dashed, 10, ANY),
    key("dvc_mobile_", dashed, 10, ANY),
    key("dvc_server_", dashed, 10, ANY),
    weak("apk_", base64, 60, ANY),
    weak("cog_", lower, 52, 52),
    key("doo_v1_", lower_hex, 64, 64),
    key("dor_v1_", lower_hex, 64, 64),
    key("SWMTKN-1-", any, 40, ANY),
    key("SWMKEY-1-", any, 40, ANY),
    key("dckr_oat_", dashed, 27, 40),
    weak("dp.", dotted, 40, 80),
    weak("sl.", any, 120, ANY),
    key("sl.u.", dashed, 60, ANY),
    weak("duffel_test_", any, 40, ANY),
    weak("duffel_live_", any, 40, ANY),
    key("dt0c01.", dotted, 80, ANY),
    key("dt0s01.", dotted, 80, ANY),
    key("EZAK", alnum, 50, 60),
    key("EZTK", alnum, 50, 60),
    weak("PRD-", hex_dashed, 26, 40),
    weak("SBX-", hex_dashed, 26, 40),
    key("essu_", any, 60, ANY),
    weak("sk_", lower_hex, 48, 48),
    weak("endr+", alnum, 16, 40),
    weak("EXO", alnum, 24, 32),
    weak("EAA", alnum, 80, ANY),
    key("figd_", dashed, 36, ANY),
    key("FLWSECK_TEST-", dashed, 12, ANY),
    key("FLWSECK-", dashed, 12, ANY),
    key("FLWPUBK_TEST-", dashed, 12, ANY),
    key("FLWPUBK-", dashed, 12, ANY),
    key("fm2_", any, 43, ANY),
    key("fm1a_", any, 43, ANY),
    key("fm1r_", any, 43, ANY),
    key("fo1_", dashed, 43, ANY),
    key("fio-u-", any, 60, ANY),
    weak("live_", any, 31, 64),
    weak("test_", lower_hex, 35, 35),
    weak("test_pub_", lower_hex, 31, 31),
    key("glc_", base64, 32, ANY),
    key("glsa_", word, 41, 41),
    key("eyJrIjoi", base64, 50, ANY),
    key("hvb.", dashed, 24, ANY),
    key("hvr.", dashed, 24, ANY),
    key("HRKU-", dashed, 30, ANY),
    key("pat-na1-", hex_dashed, 36, 36),
    key("pat-na2-", hex_dashed, 36, 36),
    key("pat-eu1-", hex_dashed, 36, 36),
    weak("ico-", alnum, 32, 32),
    key("IGQV", dashed, 100, ANY),
    key("s-s4t2", dashed, 60, 80),
    weak("ion_", alnum, 42, 42),
    key("lsv2_pt_", hex_word, 40, 50),
    key("lsv2_sk_", hex_word, 40, 50),
    key("sk-lf-", hex_dashed, 36, 36),
    key("sk-or-v1-", lower_hex, 64, 64),
    weak("lip_", alnum, 20, ANY),
    key("lin_oauth_", alnum, 40, ANY),
    weak("llx-", alnum, 40, 60),
    key("mlsn.", alnum, 30, ANY),
    weak("m0-", alnum, 40, 40),
    key("mercury_production_", word, 30, ANY),
    key("mergify_application_key_", dashed, 40, ANY),
    key("Mid-server-", dashed, 11, ANY),
    key("Mid-client-", dashed, 11, ANY),
    key("eyJtaXJv", dashed, 60, ANY),
    key("mdb_sa_sk_", dashed, 40, ANY),
    key("napi_", alnum, 60, ANY),
    weak("nfp_", alnum, 36, 44),
    key("NRJS-", lower_hex, 19, 19),
    key("NRII-", dashed, 32, 32),
    key("NRBR-", lower_hex, 19, 19),
    key("ntn_", alnum, 40, 60),
    weak("secret_", alnum, 43, 43),
    key("nvapi-", dashed, 60, ANY),
    key("nyk_", word, 60, ANY),
    weak("API-", upper, 25, 32),
    weak("oy2", lower, 43, 43),
    key("api_live.", any, 20, ANY),
    key("api_live_us.", any, 20, ANY),
    key("api_live_ca.", any, 20, ANY),
    key("api_sandbox.", any, 20, ANY),
    key("sha256~", dashed, 43, 43),
    key("pdl_live_apikey_", word, 40, ANY),
    key("pdl_sdbx_apikey_", word, 40, ANY),
    key("pplx-", alnum, 40, ANY),
    weak("persona_production_", dashed, 30, ANY),
    weak("persona_sandbox_", dashed, 30, ANY),
    key("pcsk_", word, 50, ANY),
    weak("pina_", dashed, 40, ANY),
    key("access-sandbox-", hex_dashed, 36, 36),
    key("access-development-", hex_dashed, 36, 36),
    key("access-production-", hex_dashed, 36, 36),
    key("pscale_tkn_", any, 32, ANY),
    key("pscale_pw_", any, 32, ANY),
    key("pscale_oauth_", any, 32, ANY),
    weak("polar_at_", dashed, 20, ANY),
    weak("polar_oat_", dashed, 20, ANY),
    weak("polar_pat_", dashed, 20, ANY),
    weak("phx_", dashed, 40, ANY),
    weak("phc_", dashed, 40, ANY),
    weak("PMAT-", alnum, 24, 30),
    weak("pnu_", alnum, 36, 36),
    weak("prf_", dashed, 30, ANY),
    weak("apikey_", lower_hex, 64, 64),
    key("ramp_sec_", alnum, 40, ANY),
    key("rdme_", lower, 60, 80),
    weak("rpa_", alnum, 28, 60),
    weak("rnd_", alnum, 28, 34),
    weak("r8_", dashed, 37, 40),
    key("rootly_", lower_hex, 64, 64),
    key("rubygems_", lower_hex, 48, 48),
    key("RGAPI-", hex_dashed, 36, 36),
    key("3MVG", any, 80, ANY),
    key("samsara_api_", alnum, 26, ANY),
    key("tk-us-", dashed, 48, 48),
    weak("sgp_", word, 40, 80),
    weak("slk_", lower_hex, 64, 64),
    key("xkeysib-", dashed, 70, ANY),
    key("xsmtpsib-", dashed, 70, ANY),
    key("sntrys_", any, 60, ANY),
    key("sntryu_", lower_hex, 64, 64),
    key("sntrya_", lower_hex, 64, 64),
    key("sntryi_", lower_hex, 64, 64),
    weak("sm_aat_", alnum, 16, ANY),
    weak("sm_pat_", alnum, 16, ANY),
    weak("sm_sat_", alnum, 16, ANY),
    key("shippo_live_", hex, 40, 40),
    key("shippo_test_", hex, 40, 40),
    key("shpca_", hex, 32, 32),
    key("shppa_", hex, 32, 32),
    key("shpss_", hex, 32, 32),
    key("shptka_", hex, 32, 32),
    weak("squ_", lower_hex, 40, 40),
    weak("sqp_", lower_hex, 40, 40),
    weak("sqa_", lower_hex, 40, 40),
    key("sq0idp-", dashed, 22, 22),
    key("sbp_", dashed, 40, 44),
    key("sb_secret_", dashed, 28, 44),
    weak("tskey-", dashed, 25, ANY),
    weak("tss_", word, 26, ANY),
    key("tgp_v1_", dashed, 40, 60),
    weak("tfp_", any, 40, 80),
    key("tvly-", dashed, 30, 60),
    weak("uak_", dashed, 20, 40),
    weak("unkey_", alnum, 20, 60),
    weak("ucat_", alnum, 26, 30),
    weak("vtwn_", dashed, 21, ANY),
    weak("vck_", dashed, 50, 64),
    weak("vca_", dashed, 50, 64),
    weak("vcr_", dashed, 50, 64),
    weak("vci_", dashed, 50, 64),
    weak("vcp_", dashed, 50, 64),
    weak("waka_", dashed, 36, 70),
    key("wandb_v1_", word, 70, ANY),
    weak("cs_", lower_hex, 40, 40),
    weak("ck_", lower_hex, 40, 40),
    key("wrka-", dotted, 60, ANY),
    key("wrkaus-", dotted, 60, ANY),
    key("xnd_production_", dashed, 30, ANY),
    key("xnd_development_", dashed, 30, ANY),
    weak("t1.", any, 80, ANY),
    weak("AQVN", dashed, 35, 40),
    weak("YC", dashed, 38, 38),
    weak("y0_", dashed, 50, 70),
    weak("zpka_", word, 36, 60),
    key("packagist_", word, 60, ANY),
    key("CFPAT-", dashed, 43, 43),
    weak("AKID", alnum, 32, 40),
    weak("s.", lower, 24, 24),
    weak("KEY", dashed, 55, 55),
    // PASETO, and keys of its own (PASERK).
    weak("v1.local.", dotted, 64, ANY),
    weak("v2.local.", dotted, 64, ANY),
    weak("v3.local.", dotted, 64, ANY),
    weak("v4.local.", dotted, 64, ANY),
    weak("v1.public.", dotted, 86, ANY),
    weak("v2.public.", dotted, 86, ANY),
    weak("v3.public.", dotted, 86, ANY),
    weak("v4.public.", dotted, 86, ANY),
    key("k1.local.", dashed, 43, 43),
    key("k2.local.", dashed, 43, 43),
    key("k3.local.", dashed, 43, 43),
    key("k4.local.", dashed, 43, 43),
    key("k1.secret.", dashed, 64, ANY),
    key("k2.secret.", dashed, 64, ANY),
    key("k3.secret.", dashed, 64, ANY),
    key("k4.secret.", dashed, 64, ANY),
    // Seeds of NATS, by what they are the keys of.
    key("SA", base32, 56, 56),
    key("SC", base32, 56, 56),
    key("SN", base32, 56, 56),
    key("SO", base32, 56, 56),
    key("SP", base32, 56, 56),
    key("SU", base32, 56, 56),
    key("SX", base32, 56, 56),
];

/// Bytes at the end of a key that have to look random.
const TAIL: usize = 16;

/// Whether the end is of letters and digits without order: names have few digits, words between dashes, and capitals
/// only where a word begins.
pub(super) fn random(text: Text<'_>, start: usize, end: usize) -> Option<(usize, usize)> {
    let tail = text.bytes(end.saturating_sub(TAIL).max(start), end);
    let count = |is: fn(&u8) -> bool| tail.iter().filter(|b| is(b)).count();
    let digits = count(u8::is_ascii_digit);
    let joints = count(|b| matches!(*b, b'_' | b'-' | b'.'));
    let capitals = count(u8::is_ascii_uppercase);
    let small = count(u8::is_ascii_lowercase);
    let numbered = joints <= 2 && digits >= joints.max(1) && capitals.max(small) > 0;
    let mixed = joints == 0 && capitals >= 5 && small >= 3;
    ((numbered || mixed) && entropy(tail) >= 2.5).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::super::provider::keys;
    use super::*;

    fn found(text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let whole = Text { text, key: "" };
        keys(whole, 0, text.len(), &mut |from, to, _, _| {
            found.push(text[from..to].to_owned());
        });
        found
    }

    /// Letters and digits of the form's alphabet, in no order.
    fn body(form: &Form, length: usize) -> String {
        let mut state = 7_u32;
        std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_103_515_245).wrapping_add(12_345);
            u8::try_from(state >> 16 & 127).unwrap()
        })
        .filter(|b| alnum(*b) && (form.of)(*b))
        .take(length)
        .map(char::from)
        .collect()
    }

    /// Forms with the beginning of another one inside, `live_`: that one is found where they themselves are none.
    const OVERLAPPING: [&str; 3] = ["duffel_live_", "pdl_live_apikey_", "shippo_live_"];
    /// The one of them whose own beginning is longer: the other one is found first, and takes the rest of the key.
    const TAKEN: &str = "pdl_live_apikey_";

    #[test]
    fn each_form_is_found_and_what_is_shorter_is_not() {
        for form in KEYS {
            let other = |text: &str| {
                let at = text.find("live_");
                let at = at.filter(|_| OVERLAPPING.contains(&form.literal));
                Vec::from_iter(at.map(|at| text[at..].to_owned()))
            };
            let text = format!("{}{}", form.literal, body(form, form.least));
            let expected = match form.literal {
                TAKEN => other(&text),
                _ => vec![text.clone()],
            };
            assert_eq!(found(&text), expected, "{text}");
            let glued = format!("x{text}");
            assert_eq!(found(&glued), other(&glued), "{glued}");
            let short = format!("{}{}", form.literal, body(form, form.least - 1));
            assert_eq!(found(&short), other(&short), "{short}");
        }
    }
}

//! Keys of Azure's services that have a mark inside, of four characters or six at a fixed place.

use super::parted::behind;
use super::provider::{Form, base64, dashed, form};
use super::text::{Text, alnum};
use proctor_model::content::ContentClass as Class;

/// A condition on what stands before the mark, and the range with it.
type Head = fn(Text<'_>, usize, usize) -> Option<(usize, usize)>;

const fn marked(
    mark: &'static str,
    head: usize,
    also: Head,
    of: fn(u8) -> bool,
    behind: usize,
) -> Form {
    Form {
        head,
        also: Some(also),
        ..form(mark, Class::AzureKey, of, behind, behind)
    }
}

/// Marks, how many characters stand before them, and how many behind.
pub(super) const MARKED: &[Form] = &[
    // Storage, Batch, Machine Learning, API Management, Cosmos DB.
    marked("+ASt", 76, head_76, base64, 8),
    marked("+ABa", 76, head_76, base64, 8),
    marked("+AMC", 76, head_76, base64, 8),
    marked("APIM", 76, head_76, base64, 8),
    marked("ACDb", 76, head_76, base64, 8),
    // DevOps' personal access tokens.
    marked("AZDO", 76, head_76, alnum, 4),
    // AI services.
    marked("JQQJ99", 52, head_52, alnum, 26),
    // Functions, AI Search, container registries.
    marked("AzFu", 44, head_44, url_safe, 8),
    marked("AzSe", 42, head_42, alnum, 6),
    marked("+ACR", 42, head_42, base64, 6),
    // Redis, Event Hubs, Service Bus, Relay, IoT Hub.
    marked("AzCa", 33, head_33, base64, 7),
    marked("+AEh", 33, head_33, base64, 7),
    marked("+ASb", 33, head_33, base64, 7),
    marked("+ARm", 33, head_33, base64, 7),
    marked("AIoT", 33, head_33, base64, 7),
];

fn plain(b: u8) -> bool {
    alnum(b) || matches!(b, b'+' | b'/')
}

fn url_safe(b: u8) -> bool {
    dashed(b) || b == b'='
}

fn head_76(text: Text<'_>, mark: usize, end: usize) -> Option<(usize, usize)> {
    behind(text, mark, end, 76, plain)
}

fn head_52(text: Text<'_>, mark: usize, end: usize) -> Option<(usize, usize)> {
    behind(text, mark, end, 52, alnum)
}

fn head_44(text: Text<'_>, mark: usize, end: usize) -> Option<(usize, usize)> {
    behind(text, mark, end, 44, dashed)
}

fn head_42(text: Text<'_>, mark: usize, end: usize) -> Option<(usize, usize)> {
    behind(text, mark, end, 42, plain)
}

fn head_33(text: Text<'_>, mark: usize, end: usize) -> Option<(usize, usize)> {
    behind(text, mark, end, 33, plain)
}

#[cfg(test)]
mod tests {
    use super::super::provider::keys;
    use super::*;

    #[test]
    fn the_mark_has_to_be_at_its_place() {
        for form in MARKED {
            let random =
                |n: usize| "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0".repeat(2)[..n].to_owned();
            let tail = random(form.least);
            let key = format!("{}{}{tail}", random(form.head), form.literal);
            let found = |text: &str| {
                let mut found = Vec::new();
                keys(
                    Text { text, key: "" },
                    0,
                    text.len(),
                    &mut |a, b, class, _| {
                        found.push((a, b, class));
                    },
                );
                found
            };
            assert_eq!(found(&key), [(0, key.len(), Class::AzureKey)], "{key}");
            assert!(found(&format!("x{key}")).is_empty(), "x{key}");
            assert!(found(&key[1..]).is_empty(), "{}", &key[1..]);
        }
    }
}

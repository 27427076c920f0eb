//! Numbering plans: which telephone numbers there are, in each region.
//!
//! The rules are Google's (libphonenumber, Apache-2.0) and `rlibphonenumber` applies them, but to a copy of its data that asks
//! less. In its own, `\d` stands for every digit of Unicode, seventy ranges of them, and each kind of number (fixed, mobile,
//! toll-free, …) has an expression: to compile the hundreds that a text with numbers of many countries needs took longer
//! than to read it. Here numbers have digits of ASCII alone, and of their kind nobody asks: `plans.tsv` says `[0-9]`, and
//! has one expression for all kinds. The test below makes it of the library's data (`make regen`), and asks both the same.

use rlibphonenumber::{
    PHONE_NUMBER_UTIL, PhoneMetadata, PhoneMetadataCollection, PhoneNumberDesc, PhoneNumberUtil,
    Region,
};
use std::sync::LazyLock;

/// A line for each plan, and in it the columns that [`plan`] names. The order of lines is that in which regions of one calling code are tried.
const TABLE: &str = include_str!("plans.tsv");

static UTIL: LazyLock<Option<PhoneNumberUtil>> =
    LazyLock::new(|| PhoneNumberUtil::new_for_metadata(collection()?).ok());

/// Who knows the plans. Their expressions are compiled when a number is first compared with them.
pub(super) fn util() -> &'static PhoneNumberUtil {
    // A table that can't be read costs time, and no number is missed for it.
    UTIL.as_ref()
        .unwrap_or_else(|| LazyLock::force(&PHONE_NUMBER_UTIL))
}

/// Compiles the expressions of these regions, which else their first numbers wait for.
pub(super) fn warm<'r>(regions: impl Iterator<Item = &'r Region>) {
    let util = util();
    for region in regions {
        if let Ok(example) = util.get_example_number(*region) {
            let _ = util.is_valid_number(&example);
        }
    }
}

fn collection() -> Option<PhoneMetadataCollection> {
    let metadata = TABLE.lines().map(plan).collect::<Option<_>>()?;
    Some(PhoneMetadataCollection { metadata })
}

/// The plan of a line.
#[expect(
    deprecated,
    reason = "meant for those who read the library's data: it takes expressions out of these fields, and leaves them empty"
)]
fn plan(line: &str) -> Option<PhoneMetadata> {
    let columns: [&str; 12] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
    let [
        id,
        code,
        main,
        abroad,
        trunk,
        rule,
        leading,
        lengths,
        local_lengths,
        example,
        shape,
        exists,
    ] = columns;
    Some(PhoneMetadata {
        id: id.to_owned(),
        country_code: Some(code.parse().ok()?),
        main_country_for_code: Some(main == "main"),
        international_prefix: expression(abroad),
        national_prefix_for_parsing: expression(trunk),
        national_prefix_transform_rule: unless_empty(rule),
        leading_digits: expression(leading),
        general_desc: Some(PhoneNumberDesc {
            national_number_pattern: expression(shape),
            possible_length: numbers(lengths)?,
            possible_length_local_only: numbers(local_lengths)?,
            ..PhoneNumberDesc::default()
        }),
        // The kind that is asked for last but one; there are no others.
        fixed_line: Some(PhoneNumberDesc {
            national_number_pattern: expression(exists),
            example_number: unless_empty(example),
            ..PhoneNumberDesc::default()
        }),
        ..PhoneMetadata::default()
    })
}

fn unless_empty(column: &str) -> Option<String> {
    (!column.is_empty()).then(|| column.to_owned())
}

/// An expression as the library writes it: it cuts off what it does not want of the anchors.
fn expression(column: &str) -> Option<String> {
    (!column.is_empty()).then(|| format!("^(?:{column})$"))
}

fn numbers(column: &str) -> Option<Vec<i32>> {
    column
        .split_terminator(',')
        .map(|number| number.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use prost::Message as _;
    use rlibphonenumber::{PhoneNumber, PhoneNumberType};
    use std::path::{Path, PathBuf};
    use std::process::Command;

    /// The library's own data, from its source.
    fn metadata_of_the_library() -> PhoneMetadataCollection {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version", "1", "--locked"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "cargo metadata failed");
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let package = metadata["packages"]
            .as_array()
            .unwrap()
            .iter()
            .find(|package| package["name"] == "rlibphonenumber")
            .unwrap();
        let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap());
        let data = manifest.with_file_name("src/generated/metadata/metadata.bin");
        PhoneMetadataCollection::decode(std::fs::read(data).unwrap().as_slice()).unwrap()
    }

    /// The column of an expression.
    fn bare(expression: Option<&String>) -> String {
        let inside = expression.map(|whole| {
            whole
                .strip_prefix("^(?:")
                .and_then(|rest| rest.strip_suffix(")$"))
                .unwrap_or_else(|| panic!("not anchored: {whole}"))
        });
        inside.unwrap_or_default().replace("\\d", "[0-9]")
    }

    fn listed(numbers: &[i32]) -> String {
        let numbers: Vec<String> = numbers.iter().map(ToString::to_string).collect();
        numbers.join(",")
    }

    /// The line of a plan of the library's.
    #[expect(
        deprecated,
        reason = "fields that the library empties once it has them"
    )]
    fn line(plan: &PhoneMetadata) -> String {
        let general = plan.general_desc.clone().unwrap_or_default();
        let fixed = plan.fixed_line.clone().unwrap_or_default();
        let kinds = [
            &plan.premium_rate,
            &plan.toll_free,
            &plan.shared_cost,
            &plan.voip,
            &plan.personal_number,
            &plan.pager,
            &plan.uan,
            &plan.voicemail,
            &plan.fixed_line,
            &plan.mobile,
        ];
        let mut exists: Vec<String> = Vec::new();
        for kind in kinds.into_iter().flatten() {
            let expression = bare(kind.national_number_pattern.as_ref());
            // Of a length that is none of a number, there are none of its kind.
            if kind.possible_length != [-1]
                && !expression.is_empty()
                && !exists.contains(&expression)
            {
                exists.push(expression);
            }
        }
        let is_main = plan.main_country_for_code == Some(true);
        [
            plan.id.clone(),
            plan.country_code.unwrap().to_string(),
            (if is_main { "main" } else { "" }).to_owned(),
            bare(plan.international_prefix.as_ref()),
            bare(plan.national_prefix_for_parsing.as_ref()),
            plan.national_prefix_transform_rule
                .clone()
                .unwrap_or_default(),
            bare(plan.leading_digits.as_ref()),
            listed(&general.possible_length),
            listed(&general.possible_length_local_only),
            fixed.example_number.unwrap_or_default(),
            bare(general.national_number_pattern.as_ref()),
            exists.join("|"),
        ]
        .join("\t")
    }

    #[test]
    fn the_table_is_that_of_the_library() {
        let mut fresh = String::new();
        for plan in &metadata_of_the_library().metadata {
            fresh.push_str(&line(plan));
            fresh.push('\n');
        }
        if std::env::var_os("PROCTOR_REGEN").is_some() {
            let committed =
                Path::new(env!("CARGO_MANIFEST_DIR")).join("src/filter/phone/plans.tsv");
            std::fs::write(committed, fresh).unwrap();
            return;
        }
        assert!(TABLE == fresh, "plans.tsv is out of date: run `make regen`");
    }

    #[test]
    fn the_table_is_read() {
        assert!(UTIL.is_some());
        warm(regions().iter());
    }

    const KINDS: [PhoneNumberType; 10] = [
        PhoneNumberType::FixedLine,
        PhoneNumberType::Mobile,
        PhoneNumberType::TollFree,
        PhoneNumberType::PremiumRate,
        PhoneNumberType::SharedCost,
        PhoneNumberType::VoIP,
        PhoneNumberType::PersonalNumber,
        PhoneNumberType::Pager,
        PhoneNumberType::UAN,
        PhoneNumberType::VoiceMail,
    ];

    /// Whether a number exists, anywhere or in its calling code's regions, and is possible.
    fn said(util: &PhoneNumberUtil, number: &PhoneNumber) -> (bool, Vec<bool>, bool) {
        let regions = util.get_regions_for_country_calling_code(number.country_code);
        (
            util.is_valid_number(number),
            regions
                .into_iter()
                .flatten()
                .map(|region| util.is_valid_number_for_region(number, region))
                .collect(),
            util.is_possible_number(number),
        )
    }

    /// Both say the same of what is written so.
    fn same(written: &str, region: Option<Region>) {
        let ours = util().parse(written, region).ok();
        let theirs = PHONE_NUMBER_UTIL.parse(written, region).ok();
        assert_eq!(ours, theirs, "{written} in {region:?}");
        if let Some(number) = ours {
            assert_eq!(
                said(util(), &number),
                said(&PHONE_NUMBER_UTIL, &number),
                "{written} in {region:?}"
            );
        }
    }

    /// The plans' regions, but for those of no place.
    fn regions() -> Vec<Region> {
        let ids = TABLE.lines().filter_map(|line| line.split('\t').next());
        ids.filter(|id| *id != "001")
            .map(|id| id.parse().unwrap())
            .collect()
    }

    #[test]
    fn examples_of_every_kind_exist_as_they_do_for_the_library() {
        for region in regions() {
            for kind in KINDS {
                let example =
                    PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind);
                let Ok(example) = example else { continue };
                assert!(util().is_valid_number(&example), "{region:?} {kind:?}");
                let national = example.get_national_significant_number();
                same(&national, Some(region));
                same(&format!("+{}{national}", example.country_code), None);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Numbers that are nearly one: an example, with other digits at its end and something in front.
        #[test]
        fn what_is_nearly_a_number_is_as_it_is_for_the_library(
            region in proptest::sample::select(regions()),
            kind in proptest::sample::select(KINDS.to_vec()),
            front in "(0|00|011|1|\\+|8|[0-9]{0,3})",
            cut in 0_usize..8,
            end in "[0-9]{0,7}",
        ) {
            let example = PHONE_NUMBER_UTIL
                .get_example_number_for_type_and_region(region, kind)
                .map(|example| example.get_national_significant_number())
                .unwrap_or_default();
            let kept: String = example.chars().take(example.len().saturating_sub(cut)).collect();
            let number = format!("{front}{kept}{end}");
            same(&number, Some(region));
            same(&format!("+{number}"), None);
        }

        #[test]
        fn digits_are_as_they_are_for_the_library(
            region in proptest::sample::select(regions()),
            digits in "\\+?[0-9]{2,16}",
        ) {
            same(&digits, Some(region));
        }
    }
}

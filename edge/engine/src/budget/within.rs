//! How long a stream may go on with what is held for it.

use super::measure::Used;
use proctor_model::budget::Meter;

/// No answer has more tokens.
const OUTPUT_MAX: u64 = 1 << 40;

/// Most tokens of an answer with which no meter is beyond what is held; without end where none of them limits it.
///
/// `held`: units that are held for a meter, on the account that has the fewest; none: it is on no account. `used`: what an
/// answer of so many tokens comes to, which must not fall with their number.
#[must_use]
pub fn output_within(held: impl Fn(Meter) -> Option<u64>, used: impl Fn(u64) -> Used) -> u64 {
    let limits = [Meter::Tokens, Meter::Cost].map(|meter| (meter, held(meter)));
    let fits = |output| {
        let used = used(output);
        let within =
            |(meter, most): &(Meter, Option<u64>)| most.is_none_or(|most| used.of(*meter) <= most);
        limits.iter().all(within)
    };
    if fits(OUTPUT_MAX) {
        return u64::MAX;
    }
    // The answer is between `enough`, with which it fits or which is none, and `beyond`, with which it does not.
    let (mut enough, mut beyond) = (0, OUTPUT_MAX);
    while beyond.saturating_sub(enough) > 1 {
        let middle = enough.midpoint(beyond);
        if fits(middle) {
            enough = middle;
        } else {
            beyond = middle;
        }
    }
    enough
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A prompt of 100 tokens at 2 a token, an answer at 5 a token.
    fn used(output: u64) -> Used {
        Used {
            calls: 1,
            tokens: 100_u64.saturating_add(output),
            cost: 200_u64.saturating_add(output.saturating_mul(5)),
        }
        .within_accounts()
    }

    fn check(tokens: Option<u64>, cost: Option<u64>, expect: u64) {
        let held = |meter| match meter {
            Meter::Tokens => tokens,
            Meter::Cost => cost,
            Meter::Calls | Meter::Amount => Some(0),
        };
        assert_eq!(output_within(held, used), expect, "{tokens:?} {cost:?}");
    }

    #[test]
    fn the_meter_that_ends_first_ends_it() {
        check(None, None, u64::MAX);
        check(Some(130), None, 30);
        check(Some(130), Some(1_000), 30);
        check(Some(1_000), Some(207), 1);
        check(None, Some(204), 0);
        check(Some(u64::MAX), Some(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_prompt_that_is_beyond_it_leaves_nothing() {
        check(Some(99), None, 0);
        check(Some(0), Some(0), 0);
    }
}

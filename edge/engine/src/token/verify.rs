//! Verifying a token: everything that holds whatever the call and the time.

use super::key::{KeyRing, link};
use super::verified::VerifiedToken;
use super::{ArgTest, Caveat, CaveatError, Token, TokenError, revocation_id};
use crate::limits::{CAVEAT_CALLS_MAX, CAVEAT_PATTERNS_MAX};
use subtle::ConstantTimeEq;

/// The verified token, with its caveats collected. The result may be cached under
/// [`cache_key`](super::cache_key) as long as the tenant's keys stay the same.
///
/// # Errors
/// See [`TokenError`]. Caveats are only looked at when the chain verifies.
pub fn verify(token: &Token, keys: &KeyRing) -> Result<VerifiedToken, TokenError> {
    if token.identifier.tenant != *keys.tenant() {
        return Err(TokenError::UnknownKey);
    }
    let (root, key_not_after) = keys
        .find(&token.identifier.kid)
        .ok_or(TokenError::UnknownKey)?;

    let mut tag = link(root, &token.identifier_bytes);
    let mut tags = vec![tag];
    for caveat in &token.caveats {
        tag = link(&tag, caveat);
        tags.push(tag);
    }
    if !bool::from(tag.ct_eq(&token.tag)) {
        return Err(TokenError::Forged);
    }

    let caveats = token.read_caveats()?;
    check_complete(&caveats)?;
    check_form(&caveats)?;
    let prefixes = tags.iter().map(revocation_id).collect();
    Ok(VerifiedToken::collect(
        &token.identifier,
        key_not_after,
        prefixes,
        &caveats,
    ))
}

/// Each token needs an expiry and a tool list.
pub(super) fn check_complete(caveats: &[Caveat]) -> Result<(), TokenError> {
    if !caveats.iter().any(|c| matches!(c, Caveat::Before(_))) {
        return Err(TokenError::Incomplete("time <"));
    }
    if !caveats.iter().any(|c| matches!(c, Caveat::ToolIn(_))) {
        return Err(TokenError::Incomplete("tool in"));
    }
    Ok(())
}

/// What must hold of the caveats taken together.
pub(super) fn check_form(caveats: &[Caveat]) -> Result<(), TokenError> {
    check_patterns(caveats)?;
    check_calls(caveats)?;
    check_depth(caveats)
}

fn check_calls(caveats: &[Caveat]) -> Result<(), TokenError> {
    let calls = caveats.iter().enumerate();
    let mut calls =
        calls.filter(|(_, caveat)| matches!(caveat, Caveat::Calls(_) | Caveat::Cost(_)));
    match calls.nth(CAVEAT_CALLS_MAX) {
        Some((index, _)) => Err(TokenError::Caveat(
            index,
            CaveatError::Syntax("not that many ceilings"),
        )),
        None => Ok(()),
    }
}

fn check_patterns(caveats: &[Caveat]) -> Result<(), TokenError> {
    let patterns = caveats.iter().enumerate().filter(
        |(_, caveat)| matches!(caveat, Caveat::Arg(arg) if matches!(arg.test, ArgTest::Matches(_))),
    );
    match patterns
        .skip(CAVEAT_PATTERNS_MAX)
        .map(|(index, _)| index)
        .next()
    {
        Some(index) => Err(TokenError::Caveat(
            index,
            CaveatError::Syntax("not that many patterns"),
        )),
        None => Ok(()),
    }
}

/// After each `depth <= n` at most n `delegate` caveats follow.
fn check_depth(caveats: &[Caveat]) -> Result<(), TokenError> {
    let mut left: Option<u8> = None;
    for caveat in caveats {
        match caveat {
            Caveat::Depth(most) => left = Some(left.map_or(*most, |left| left.min(*most))),
            Caveat::Delegate(_) => {
                left = match left {
                    None => None,
                    Some(left) => Some(left.checked_sub(1).ok_or(TokenError::TooDeep)?),
                };
            }
            _ => {}
        }
    }
    Ok(())
}

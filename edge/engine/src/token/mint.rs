//! Making tokens and narrowing them.

use super::identifier::Identifier;
use super::key::{Tag, link, root};
use super::verify::{check_complete, check_form};
use super::{Caveat, Token, TokenError};
use crate::limits::{CAVEATS_MAX, TOKEN_BYTES_MAX};
use proctor_model::config::TokenKey;
use proctor_model::{AgentId, KeyId, TenantId, Timestamp};

/// What a new token is to be.
#[derive(Clone, PartialEq, Debug)]
pub struct MintRequest {
    /// The tenant.
    pub tenant: TenantId,
    /// The agent that may use it.
    pub agent: AgentId,
    /// Its caveats; an expiry and a tool list among them.
    pub caveats: Vec<Caveat>,
}

/// A new token, made with the tenant's key. `nonce` must be fresh random bytes.
///
/// # Errors
/// If a required caveat is missing, one can't be enforced, or the token would be too large.
pub fn mint(
    request: &MintRequest,
    key: &TokenKey,
    nonce: [u8; 16],
    iat: Timestamp,
) -> Result<Token, TokenError> {
    mint_under(request, &key.kid, &root(&key.key), nonce, iat)
}

pub(super) fn mint_under(
    request: &MintRequest,
    kid: &KeyId,
    root: &Tag,
    nonce: [u8; 16],
    iat: Timestamp,
) -> Result<Token, TokenError> {
    let identifier = Identifier {
        kid: kid.clone(),
        nonce,
        tenant: request.tenant.clone(),
        agent: request.agent.clone(),
        iat: Timestamp::from_secs(iat.as_secs()),
    };
    let identifier_bytes = identifier.encode()?;
    let bare = Token {
        tag: link(root, &identifier_bytes),
        identifier,
        identifier_bytes,
        caveats: Vec::new(),
    };
    check_complete(&request.caveats)?;
    attenuate(&bare, &request.caveats)
}

/// The token with further caveats: takes no key, so any holder can do it, offline.
///
/// # Errors
/// If a caveat can't be enforced, delegates further than a `depth` allows, or the token would be too large.
pub fn attenuate(token: &Token, caveats: &[Caveat]) -> Result<Token, TokenError> {
    let mut token = token.clone();
    for caveat in caveats {
        let text = caveat.to_string();
        // Read back what was written: a value that doesn't fit the grammar must not be signed.
        let read = Caveat::from_bytes(text.as_bytes());
        let index = token.caveats.len();
        match read {
            Ok(read) if read == *caveat => {}
            Ok(_) => return Err(TokenError::Malformed("a caveat that reads back as written")),
            Err(error) => return Err(TokenError::Caveat(index, error)),
        }
        token.tag = link(&token.tag, text.as_bytes());
        token.caveats.push(text.into_bytes());
    }
    let all = token.read_caveats()?;
    check_form(&all)?;
    if token.caveats.len() > CAVEATS_MAX || token.to_bytes().len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Malformed("too large"));
    }
    Ok(token)
}

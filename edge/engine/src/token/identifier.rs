//! The identifier: what a token was minted as, in one fixed CBOR encoding.

use super::TokenError;
use crate::limits::IDENTIFIER_BYTES_MAX;
use ciborium::Value;
use proctor_model::{AgentId, KeyId, TenantId, Timestamp};

/// `{v: 1, kid, nonce, tenant, agent, iat}`, keys in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identifier {
    /// Id of the tenant's key it was minted with.
    pub kid: KeyId,
    /// Makes each token another one.
    pub nonce: [u8; 16],
    /// The tenant.
    pub tenant: TenantId,
    /// The agent that may use it.
    pub agent: AgentId,
    /// When it was minted, to the second.
    pub iat: Timestamp,
}

impl Identifier {
    pub(super) fn encode(&self) -> Result<Vec<u8>, TokenError> {
        let text = |text: &str| Value::Text(text.into());
        let map = Value::Map(vec![
            (text("v"), Value::Integer(1.into())),
            (text("kid"), text(self.kid.as_str())),
            (text("nonce"), Value::Bytes(self.nonce.to_vec())),
            (text("tenant"), text(self.tenant.as_str())),
            (text("agent"), text(self.agent.as_str())),
            (text("iat"), Value::Integer(self.iat.as_secs().into())),
        ]);
        let mut bytes = Vec::new();
        ciborium::into_writer(&map, &mut bytes)
            .map_err(|_| TokenError::Malformed("an identifier"))?;
        if bytes.len() > IDENTIFIER_BYTES_MAX {
            return Err(TokenError::Malformed("the identifier is too large"));
        }
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, TokenError> {
        let identifier = Self::read(bytes).ok_or(TokenError::Malformed("an identifier of ours"))?;
        // One encoding only: what differs from our own writing of it is refused.
        if identifier.encode()? == bytes {
            Ok(identifier)
        } else {
            Err(TokenError::Malformed("an identifier in canonical form"))
        }
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let value: Value = ciborium::de::from_reader_with_recursion_limit(bytes, 4).ok()?;
        let members: [(Value, Value); 6] = value.into_map().ok()?.try_into().ok()?;
        let [
            (_, v),
            (_, kid),
            (_, nonce),
            (_, tenant),
            (_, agent),
            (_, iat),
        ] = members;
        if i64::try_from(v.as_integer()?).ok()? != 1 {
            return None;
        }
        Some(Self {
            kid: kid.as_text()?.parse().ok()?,
            nonce: nonce.as_bytes()?.as_slice().try_into().ok()?,
            tenant: tenant.as_text()?.parse().ok()?,
            agent: agent.as_text()?.parse().ok()?,
            iat: Timestamp::from_secs(i64::try_from(iat.as_integer()?).ok()?),
        })
    }
}

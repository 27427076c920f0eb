//! Who calls: principal tokens, made by `Authenticate` and checked on every other operation.

use crate::error::ControlError;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use proctor_model::config::PublicKey;
use proctor_model::principal::{
    Access, INTERNAL_AUDIENCE, PRINCIPAL_LIFE_S, PrincipalClaims, Right,
};
use proctor_model::signed::Signer;
use proctor_model::{TenantId, Timestamp};
use tonic::{Request, Status};

/// Signs and verifies principal tokens with the platform key.
pub(crate) struct PrincipalKeys {
    encoding: EncodingKey,
    decoding: DecodingKey,
}

/// DER prefix of an Ed25519 private key (RFC 8410, section 7), version 1.
const PKCS8_PREFIX: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

impl PrincipalKeys {
    pub(crate) fn from_seed(seed: &[u8; 32]) -> Result<Self, ControlError> {
        let mut der = zeroize::Zeroizing::new(PKCS8_PREFIX.to_vec());
        der.extend_from_slice(seed);
        let PublicKey { key, .. } = Signer::from_seed(seed)?.public_key();
        Ok(Self {
            encoding: EncodingKey::from_ed_der(&der),
            decoding: DecodingKey::from_ed_components(&key)?,
        })
    }

    pub(crate) fn sign(&self, claims: &PrincipalClaims) -> Result<String, ControlError> {
        Ok(jsonwebtoken::encode(
            &Header::new(Algorithm::EdDSA),
            claims,
            &self.encoding,
        )?)
    }

    /// A token for control itself, or again for a caller of control's, to be shown to another service.
    pub(crate) fn sign_again(
        &self,
        claims: &PrincipalClaims,
        now: Timestamp,
    ) -> Result<proctor_runtime::Secret, ControlError> {
        let claims = PrincipalClaims {
            iat: now.as_secs(),
            exp: now.plus_secs(PRINCIPAL_LIFE_S).as_secs(),
            ..claims.clone()
        };
        Ok(self.sign(&claims)?.into())
    }

    fn verify(&self, token: &str, now: Timestamp) -> Result<PrincipalClaims, Status> {
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(&[INTERNAL_AUDIENCE]);
        // The clock is ours, so that tests can set it.
        validation.validate_exp = false;
        let claims = jsonwebtoken::decode::<PrincipalClaims>(token, &self.decoding, &validation)
            .map_err(|_| Status::unauthenticated("the principal token does not verify"))?
            .claims;
        if claims.exp <= now.as_secs() {
            return Err(Status::unauthenticated("the principal token is over"));
        }
        Ok(claims)
    }
}

/// An authenticated caller.
pub(crate) struct Caller(PrincipalClaims);

impl Caller {
    /// Who makes this request.
    pub(crate) fn of<T>(state: &crate::State, request: &Request<T>) -> Result<Self, Status> {
        let token = proctor_runtime::grpc::bearer(request.metadata())?;
        state
            .principals
            .verify(token.expose(), state.clock.now())
            .map(Self)
    }

    /// What its token says.
    pub(crate) fn claims(&self) -> &PrincipalClaims {
        &self.0
    }

    /// Its id, for audit.
    pub(crate) fn id(&self) -> &str {
        &self.0.sub
    }

    /// The tenant, if this caller may do `right` in it. An unknown and a foreign tenant look the same.
    pub(crate) fn tenant(&self, tenant: &str, right: Right) -> Result<TenantId, Status> {
        let tenant: TenantId = tenant.parse().map_err(|_| no_such_tenant())?;
        self.allow(Some(&tenant), right)?;
        Ok(tenant)
    }

    /// Goes on only if this caller may do `right` on the platform.
    pub(crate) fn platform(&self, right: Right) -> Result<(), Status> {
        self.allow(None, right)
    }

    fn allow(&self, tenant: Option<&TenantId>, right: Right) -> Result<(), Status> {
        match self.0.access(tenant, right) {
            Access::Granted => Ok(()),
            Access::Forbidden => Err(Status::permission_denied(
                "this key does not have the right to do that",
            )),
            Access::Hidden if tenant.is_none() => Err(Status::permission_denied(
                "this key does not have the right to do that",
            )),
            Access::Hidden => Err(no_such_tenant()),
        }
    }
}

/// What is said of an unknown tenant and of one that is somebody else's.
pub(crate) fn no_such_tenant() -> Status {
    Status::not_found("no such tenant")
}

/// `base64url` without padding.
pub(crate) fn b64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

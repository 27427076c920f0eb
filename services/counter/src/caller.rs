//! Who calls: edges by their certificate and key, operators by their principal token.

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use moka::sync::Cache;
use proctor_model::audit::sha256;
use proctor_model::config::{
    COUNTER_AUDIENCE, EDGE_CERTIFICATE_METADATA, EDGE_PROOF_LIFE_S, EDGE_PROOF_METADATA,
    EdgeCertificate, EdgeProof, PublicKey,
};
use proctor_model::principal::{
    Access, CONTROL_AUDIENCE, INTERNAL_AUDIENCE, PrincipalClaims, Right,
};
use proctor_model::signed::{SignedError, Verifier, key_id};
use proctor_model::{EdgeId, TenantId, Timestamp};
use std::sync::Arc;
use std::time::Duration;
use tonic::Status;
use tonic::metadata::MetadataMap;

/// Edges whose certificate and proof are remembered.
const CACHED_MAX: u64 = 10_000;
/// For so long.
const CACHED_FOR: Duration = Duration::from_secs(60);

/// Checks callers.
pub(crate) struct Callers {
    platform: Verifier,
    principals: Vec<DecodingKey>,
    edges: Cache<[u8; 32], Arc<Edge>>,
}

/// An edge that has shown a certificate and that it has its key.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) id: EdgeId,
    pub(crate) certified_at: Timestamp,
    tenants: Vec<TenantId>,
    proven_at: Timestamp,
}

impl Edge {
    /// The tenant, if the edge serves it. An unknown one and another's look the same.
    pub(crate) fn tenant(&self, tenant: &str) -> Result<TenantId, Status> {
        let found = self.tenants.iter().find(|served| served.as_str() == tenant);
        found.cloned().ok_or_else(no_such_tenant)
    }
}

impl Callers {
    pub(crate) fn new(platform_keys: &[PublicKey]) -> Result<Self, CallersError> {
        let keys = platform_keys.iter();
        let keys = keys.map(|key| DecodingKey::from_ed_components(&key.key));
        Ok(Self {
            platform: Verifier::new(platform_keys)?,
            principals: keys.collect::<Result<_, _>>()?,
            edges: Cache::builder()
                .max_capacity(CACHED_MAX)
                .time_to_live(CACHED_FOR)
                .build(),
        })
    }

    /// The edge that calls, at `now`.
    pub(crate) fn edge(&self, metadata: &MetadataMap, now: Timestamp) -> Result<Arc<Edge>, Status> {
        let certificate = only(metadata, EDGE_CERTIFICATE_METADATA)?;
        let proof = only(metadata, EDGE_PROOF_METADATA)?;
        let digest = sha256(format!("{certificate}\0{proof}").as_bytes());
        let edge = match self.edges.get(&digest) {
            Some(edge) => edge,
            None => {
                let edge = self.verify(certificate, proof);
                let edge = Arc::new(edge.map_err(|_| unproven())?);
                self.edges.insert(digest, Arc::clone(&edge));
                edge
            }
        };
        let age = now.micros_since(edge.proven_at).saturating_abs();
        if age > EDGE_PROOF_LIFE_S.saturating_mul(1_000_000) {
            return Err(Status::unauthenticated(
                "the edge's proof is over, or not of this time",
            ));
        }
        Ok(edge)
    }

    fn verify(&self, certificate: &str, proof: &str) -> Result<Edge, SignedError> {
        let certificate: EdgeCertificate = self.platform.verify(certificate)?;
        let key = PublicKey {
            kid: kid(&certificate.signing_key)?,
            key: certificate.signing_key,
        };
        let proof: EdgeProof = Verifier::new([&key])?.verify(proof)?;
        if proof.edge != certificate.edge || proof.audience != COUNTER_AUDIENCE {
            return Err(SignedError::WrongType);
        }
        Ok(Edge {
            id: certificate.edge,
            certified_at: certificate.issued_at,
            tenants: certificate.tenants,
            proven_at: proof.issued_at,
        })
    }

    /// The operator's tenant, if `right` may be used there.
    pub(crate) fn operator(
        &self,
        metadata: &MetadataMap,
        tenant: &str,
        right: Right,
        now: Timestamp,
    ) -> Result<TenantId, Status> {
        let claims = self.principal(metadata, now, &[INTERNAL_AUDIENCE, CONTROL_AUDIENCE])?;
        granted(&claims, tenant, right)
    }

    /// The tenant, for control, which has put on record what it does there and for whom.
    pub(crate) fn control(
        &self,
        metadata: &MetadataMap,
        tenant: &str,
        right: Right,
        now: Timestamp,
    ) -> Result<TenantId, Status> {
        let claims = self.principal(metadata, now, &[CONTROL_AUDIENCE])?;
        granted(&claims, tenant, right)
    }

    /// The same where only control itself has the right, not for a tenant's caller.
    pub(crate) fn platform(
        &self,
        metadata: &MetadataMap,
        tenant: &str,
        right: Right,
        now: Timestamp,
    ) -> Result<TenantId, Status> {
        let claims = self.principal(metadata, now, &[CONTROL_AUDIENCE])?;
        if !matches!(claims.access(None, right), Access::Granted) {
            return Err(forbidden());
        }
        tenant.parse().map_err(|_| no_such_tenant())
    }

    fn principal(
        &self,
        metadata: &MetadataMap,
        now: Timestamp,
        audiences: &[&str],
    ) -> Result<PrincipalClaims, Status> {
        let token = proctor_runtime::grpc::bearer(metadata)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_audience(audiences);
        // The clock is ours, so that tests can set it.
        validation.validate_exp = false;
        let verify =
            |key| jsonwebtoken::decode::<PrincipalClaims>(token.expose(), key, &validation).ok();
        let claims = self.principals.iter().find_map(verify);
        let claims = claims
            .ok_or_else(|| Status::unauthenticated("the principal token does not verify"))?
            .claims;
        if claims.exp <= now.as_secs() {
            return Err(Status::unauthenticated("the principal token is over"));
        }
        Ok(claims)
    }
}

/// The tenant, if `right` may be used there.
fn granted(claims: &PrincipalClaims, tenant: &str, right: Right) -> Result<TenantId, Status> {
    let tenant: TenantId = tenant.parse().map_err(|_| no_such_tenant())?;
    match claims.access(Some(&tenant), right) {
        Access::Granted => Ok(tenant),
        Access::Forbidden => Err(forbidden()),
        Access::Hidden => Err(no_such_tenant()),
    }
}

/// Keys that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CallersError {
    /// For certificates.
    #[error(transparent)]
    Signed(#[from] SignedError),
    /// For principal tokens.
    #[error(transparent)]
    Principal(#[from] jsonwebtoken::errors::Error),
}

fn kid(key: &str) -> Result<proctor_model::KeyId, SignedError> {
    use base64::Engine;
    let key = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(key);
    Ok(key_id(&key.map_err(|_| SignedError::BadKey)?))
}

fn only<'m>(metadata: &'m MetadataMap, name: &'static str) -> Result<&'m str, Status> {
    let mut values = metadata.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| unproven()),
        _ => Err(unproven()),
    }
}

fn unproven() -> Status {
    Status::unauthenticated("no valid certificate of an edge with a proof of its key")
}

fn forbidden() -> Status {
    Status::permission_denied("this key does not have the right to do that")
}

fn no_such_tenant() -> Status {
    Status::not_found("no such tenant")
}

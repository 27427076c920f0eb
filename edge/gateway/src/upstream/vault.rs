//! A tenant's credentials for its upstreams, as control sealed them to this edge.

use arc_swap::ArcSwap;
use proctor_model::SecretName;
use proctor_model::config::UpstreamSecret;
use url::Url;
use zeroize::Zeroizing;

/// The credentials that this edge holds for one tenant now.
#[derive(Default)]
pub(crate) struct Vault(ArcSwap<Vec<UpstreamSecret>>);

impl Vault {
    pub(crate) fn set(&self, secrets: Vec<UpstreamSecret>) {
        self.0.store(secrets.into());
    }

    /// A credential for this address; none if it is not here, or is not for that host.
    pub(super) fn open(&self, name: &SecretName, url: &Url) -> Option<Zeroizing<String>> {
        let secrets = self.0.load();
        let secret = secrets.iter().find(|secret| secret.name == *name)?;
        let allowed = secret.may_go_to(url.host_str()?, url.port_or_known_default());
        allowed.then(|| Zeroizing::new(secret.value.clone()))
    }
}

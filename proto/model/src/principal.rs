//! Who acts on the control plane, as its services tell each other.

use crate::ids::TenantId;
use serde::{Deserialize, Serialize};

/// `aud` of the internal principal tokens.
pub const INTERNAL_AUDIENCE: &str = "proctor-internal";
/// `aud` of the tokens with which control does something at another service, after it has put on record what and for
/// whom. They never leave control but for there: an operator's own token does not do.
pub const CONTROL_AUDIENCE: &str = "proctor-control";
/// Life of an internal principal token, in seconds: also how long a withdrawn API key still works at most.
pub const PRINCIPAL_LIFE_S: i64 = 60;

/// A role (contracts.md, section 9).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Reads configuration.
    Viewer,
    /// Registers agents and tool servers, mints and revokes tokens.
    Operator,
    /// Decides on escalated calls.
    Approver,
    /// Writes and activates policies.
    PolicyAdmin,
    /// All of one tenant.
    TenantAdmin,
    /// All of the platform.
    PlatformAdmin,
    /// Reads and verifies the audit chain.
    Auditor,
    /// Declares intents and attenuates tokens to them: an application's back end.
    IntentIssuer,
}

impl Role {
    /// Every role.
    pub const ALL: &'static [Self] = &[
        Self::Viewer,
        Self::Operator,
        Self::Approver,
        Self::PolicyAdmin,
        Self::TenantAdmin,
        Self::PlatformAdmin,
        Self::Auditor,
        Self::IntentIssuer,
    ];

    /// Its name (`platform-admin`).
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Approver => "approver",
            Self::PolicyAdmin => "policy-admin",
            Self::TenantAdmin => "tenant-admin",
            Self::PlatformAdmin => "platform-admin",
            Self::Auditor => "auditor",
            Self::IntentIssuer => "intent-issuer",
        }
    }
}

impl std::str::FromStr for Role {
    type Err = crate::ids::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().copied().find(|role| role.as_str() == text).ok_or(crate::ids::IdError {
            kind: "role",
            rule: "one of viewer, operator, approver, policy-admin, tenant-admin, platform-admin, auditor, intent-issuer",
        })
    }
}

/// Something that a role allows. Each operation of the admin API names the one it needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Right {
    ReadConfig,
    WriteAgents,
    WriteServers,
    WritePolicies,
    MintTokens,
    RevokeTokens,
    RotateKeys,
    DeclareIntents,
    ReadAudit,
    WriteApiKeys,
    WriteSecrets,
    WriteIssuers,
    WriteTenants,
    WriteEdges,
    ReadBudgets,
    WriteLimits,
    AdjustBudgets,
    DecideApprovals,
    Kill,
}

impl Right {
    /// Every right.
    pub const ALL: &'static [Self] = &[
        Self::ReadConfig,
        Self::WriteAgents,
        Self::WriteServers,
        Self::WritePolicies,
        Self::MintTokens,
        Self::RevokeTokens,
        Self::RotateKeys,
        Self::DeclareIntents,
        Self::ReadAudit,
        Self::WriteApiKeys,
        Self::WriteSecrets,
        Self::WriteIssuers,
        Self::WriteTenants,
        Self::WriteEdges,
        Self::ReadBudgets,
        Self::WriteLimits,
        Self::AdjustBudgets,
        Self::DecideApprovals,
        Self::Kill,
    ];
}

impl Role {
    /// Whether the role has the right (within its tenant, if it is bound to one).
    #[must_use]
    pub fn has(self, right: Right) -> bool {
        use Right::*;
        match self {
            Self::PlatformAdmin => true,
            Self::TenantAdmin => !matches!(right, WriteTenants | WriteEdges),
            Self::Viewer => matches!(right, ReadConfig | ReadBudgets),
            Self::Approver => matches!(right, ReadConfig | ReadBudgets | DecideApprovals),
            Self::Operator => matches!(
                right,
                ReadConfig
                    | ReadBudgets
                    | AdjustBudgets
                    | WriteAgents
                    | WriteServers
                    | MintTokens
                    | RevokeTokens
                    | Kill
            ),
            Self::PolicyAdmin => {
                matches!(
                    right,
                    ReadConfig | ReadBudgets | WriteLimits | WritePolicies
                )
            }
            Self::Auditor => matches!(right, ReadConfig | ReadBudgets | ReadAudit),
            Self::IntentIssuer => matches!(right, DeclareIntents),
        }
    }
}

/// The claims of an internal principal token (JWT, EdDSA, signed by control).
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PrincipalClaims {
    /// The API key's or user's id.
    pub sub: String,
    /// [`INTERNAL_AUDIENCE`], or [`CONTROL_AUDIENCE`].
    pub aud: String,
    /// Expiry, seconds since the epoch.
    pub exp: i64,
    /// Issued at, seconds since the epoch.
    pub iat: i64,
    /// The one tenant it is bound to; none: the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// Its roles.
    pub roles: Vec<Role>,
}

impl PrincipalClaims {
    /// Whether this principal may do `right` in `tenant` (`None`: on the platform).
    ///
    /// A tenant's principal never reaches another tenant; callers answer "not found" for that, so that
    /// nobody can probe which tenants exist.
    #[must_use]
    pub fn access(&self, tenant: Option<&TenantId>, right: Right) -> Access {
        if self.tenant.is_some() && self.tenant.as_ref() != tenant {
            return Access::Hidden;
        }
        if self.roles.iter().any(|role| role.has(right)) {
            Access::Granted
        } else {
            Access::Forbidden
        }
    }

    /// Whether this principal has every right that the role gives: nobody makes somebody mightier than himself.
    #[must_use]
    pub fn may_grant(&self, role: Role) -> bool {
        let own = |right: Right| self.roles.iter().any(|own| own.has(right));
        let mut given = Right::ALL.iter().filter(|right| role.has(**right));
        given.all(|right| own(*right))
    }
}

/// What a principal may do with a resource.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Go on.
    Granted,
    /// It is known to exist for this principal, but the right is missing: 403.
    Forbidden,
    /// For this principal it does not exist: 404.
    Hidden,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_grants_what_he_lacks() {
        for (at, right) in Right::ALL.iter().enumerate() {
            assert_eq!(*right as usize, at, "all of them, each once");
        }
        assert_eq!(Right::ALL.last(), Some(&Right::Kill));
        let with = |roles: &[Role]| PrincipalClaims {
            sub: "key_a".into(),
            aud: INTERNAL_AUDIENCE.into(),
            exp: 0,
            iat: 0,
            tenant: None,
            roles: roles.to_vec(),
        };
        for role in Role::ALL {
            assert!(with(&[*role]).may_grant(*role), "{role:?}");
            assert!(with(&[Role::PlatformAdmin]).may_grant(*role), "{role:?}");
            let by_tenant_admin = with(&[Role::TenantAdmin]).may_grant(*role);
            assert_eq!(by_tenant_admin, *role != Role::PlatformAdmin, "{role:?}");
            assert!(!with(&[]).may_grant(*role), "{role:?}");
        }
        assert!(!with(&[Role::Operator]).may_grant(Role::Auditor));
        assert!(with(&[Role::Operator, Role::Auditor]).may_grant(Role::Viewer));
    }
}

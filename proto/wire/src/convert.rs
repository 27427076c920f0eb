//! The model's words as messages, and back. Missing or unknown is an error, never a default.

use crate::v1;
use proctor_model::budget::{AccountKey, LimitRule, Meter, Scope, Window};

/// A message that says nothing that the model knows; names the member.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("{0}: missing or not known")]
pub struct ConvertError(pub &'static str);

impl From<Scope> for v1::Scope {
    fn from(scope: Scope) -> Self {
        match scope {
            Scope::Tenant => Self::Tenant,
            Scope::Agent => Self::Agent,
            Scope::Session => Self::Session,
            Scope::Token => Self::Token,
            Scope::Intent => Self::Intent,
        }
    }
}

impl TryFrom<v1::Scope> for Scope {
    type Error = ConvertError;

    fn try_from(scope: v1::Scope) -> Result<Self, ConvertError> {
        match scope {
            v1::Scope::Unspecified => Err(ConvertError("scope")),
            v1::Scope::Tenant => Ok(Self::Tenant),
            v1::Scope::Agent => Ok(Self::Agent),
            v1::Scope::Session => Ok(Self::Session),
            v1::Scope::Token => Ok(Self::Token),
            v1::Scope::Intent => Ok(Self::Intent),
        }
    }
}

impl From<Meter> for v1::Meter {
    fn from(meter: Meter) -> Self {
        match meter {
            Meter::Calls => Self::Calls,
            Meter::Tokens => Self::Tokens,
            Meter::Cost => Self::Cost,
            Meter::Amount => Self::Amount,
        }
    }
}

impl TryFrom<v1::Meter> for Meter {
    type Error = ConvertError;

    fn try_from(meter: v1::Meter) -> Result<Self, ConvertError> {
        match meter {
            v1::Meter::Unspecified => Err(ConvertError("meter")),
            v1::Meter::Calls => Ok(Self::Calls),
            v1::Meter::Tokens => Ok(Self::Tokens),
            v1::Meter::Cost => Ok(Self::Cost),
            v1::Meter::Amount => Ok(Self::Amount),
        }
    }
}

impl From<Window> for v1::Window {
    fn from(window: Window) -> Self {
        use v1::window::Kind;
        let calendar = |calendar: v1::Calendar| Kind::Calendar(calendar.into());
        let kind = match window {
            Window::Lifetime => Kind::Lifetime(v1::Lifetime {}),
            Window::Minute => calendar(v1::Calendar::Minute),
            Window::Hour => calendar(v1::Calendar::Hour),
            Window::Day => calendar(v1::Calendar::Day),
            Window::Month => calendar(v1::Calendar::Month),
            Window::Rolling(seconds) => Kind::RollingS(seconds),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<&v1::Window> for Window {
    type Error = ConvertError;

    fn try_from(v1::Window { kind }: &v1::Window) -> Result<Self, ConvertError> {
        use v1::window::Kind;
        let wrong = ConvertError("window");
        match kind {
            None => Err(wrong),
            Some(Kind::Lifetime(v1::Lifetime {})) => Ok(Self::Lifetime),
            Some(Kind::Calendar(calendar)) => match v1::Calendar::try_from(*calendar) {
                Ok(v1::Calendar::Minute) => Ok(Self::Minute),
                Ok(v1::Calendar::Hour) => Ok(Self::Hour),
                Ok(v1::Calendar::Day) => Ok(Self::Day),
                Ok(v1::Calendar::Month) => Ok(Self::Month),
                Ok(v1::Calendar::Unspecified) | Err(_) => Err(wrong),
            },
            Some(Kind::RollingS(seconds)) => {
                format!("rolling:{seconds}").parse().map_err(|_| wrong)
            }
        }
    }
}

impl From<&AccountKey> for v1::Account {
    fn from(account: &AccountKey) -> Self {
        let AccountKey {
            scope,
            id,
            meter,
            window,
        } = account;
        Self {
            scope: v1::Scope::from(*scope).into(),
            id: id.clone(),
            meter: v1::Meter::from(*meter).into(),
            window: Some((*window).into()),
        }
    }
}

impl TryFrom<&v1::Account> for AccountKey {
    type Error = ConvertError;

    fn try_from(account: &v1::Account) -> Result<Self, ConvertError> {
        let v1::Account {
            scope: _,
            id,
            meter: _,
            window,
        } = account;
        Ok(Self {
            scope: account.scope().try_into()?,
            id: id.clone(),
            meter: account.meter().try_into()?,
            window: window.as_ref().ok_or(ConvertError("window"))?.try_into()?,
        })
    }
}

impl From<&LimitRule> for v1::Rule {
    fn from(rule: &LimitRule) -> Self {
        let LimitRule {
            scope,
            id,
            meter,
            window,
            limit,
        } = rule;
        let account = AccountKey {
            scope: *scope,
            id: id.clone(),
            meter: *meter,
            window: *window,
        };
        Self {
            account: Some((&account).into()),
            limit: *limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_go_there_and_back() {
        let windows = [
            Window::Lifetime,
            Window::Minute,
            Window::Hour,
            Window::Day,
            Window::Month,
            Window::Rolling(7),
        ];
        for scope in Scope::ALL {
            for meter in Meter::ALL {
                for window in windows {
                    let account = AccountKey {
                        scope: *scope,
                        id: "x".into(),
                        meter: *meter,
                        window,
                    };
                    assert_eq!(
                        AccountKey::try_from(&v1::Account::from(&account)),
                        Ok(account)
                    );
                }
            }
        }
        assert!(AccountKey::try_from(&v1::Account::default()).is_err());
        let none = v1::Window {
            kind: Some(v1::window::Kind::RollingS(0)),
        };
        assert_eq!(Window::try_from(&none), Err(ConvertError("window")));
    }
}

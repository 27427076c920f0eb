//! From the wire and back. Here everything that comes in is checked; behind it is sound.

use crate::account::{AccountKey, Ceiling, Meter, Scope};
use crate::command::{self, Rejection, Spend, Why};
use crate::limits::*;
use crate::window::{LogTime, Window};
use proctor_model::Timestamp;
use proctor_proto::v1;
use tonic::Status;

/// What is wrong with a request: a field and its rule.
pub(crate) fn invalid(field: &str, rule: &str) -> Status {
    Status::invalid_argument(format!("{field}: {rule}"))
}

pub(crate) fn units(field: &str, units: u64) -> Result<u64, Status> {
    if units > UNITS_MAX {
        return Err(invalid(field, "at most 9007199254740991"));
    }
    Ok(units)
}

pub(crate) fn reason(reason: String) -> Result<String, Status> {
    let length = reason.chars().count();
    if !(1..=REASON_CHARS_MAX).contains(&length) || reason.chars().any(char::is_control) {
        return Err(invalid(
            "reason",
            "1 to 256 characters, no control characters",
        ));
    }
    Ok(reason)
}

pub(crate) fn scope(scope: i32) -> Result<Scope, Status> {
    match v1::Scope::try_from(scope) {
        Ok(v1::Scope::Tenant) => Ok(Scope::Tenant),
        Ok(v1::Scope::Agent) => Ok(Scope::Agent),
        Ok(v1::Scope::Session) => Ok(Scope::Session),
        Ok(v1::Scope::Token) => Ok(Scope::Token),
        Ok(v1::Scope::Intent) => Ok(Scope::Intent),
        Ok(v1::Scope::Unspecified) | Err(_) => Err(invalid(
            "account.scope",
            "one of tenant, agent, session, token, intent",
        )),
    }
}

pub(crate) fn meter(meter: i32) -> Result<Meter, Status> {
    match v1::Meter::try_from(meter) {
        Ok(v1::Meter::Calls) => Ok(Meter::Calls),
        Ok(v1::Meter::Tokens) => Ok(Meter::Tokens),
        Ok(v1::Meter::Cost) => Ok(Meter::Cost),
        Ok(v1::Meter::Amount) => Ok(Meter::Amount),
        Ok(v1::Meter::Unspecified) | Err(_) => Err(invalid(
            "account.meter",
            "one of calls, tokens, cost, amount",
        )),
    }
}

fn window(window: Option<v1::Window>) -> Result<Window, Status> {
    use v1::window::Kind;
    let kind = window.and_then(|window| window.kind);
    match kind.ok_or_else(|| invalid("account.window", "needed"))? {
        Kind::Lifetime(v1::Lifetime {}) => Ok(Window::Lifetime),
        Kind::RollingS(secs) if (1..=ROLLING_S_MAX).contains(&secs) => Ok(Window::Rolling(secs)),
        Kind::RollingS(_) => Err(invalid("account.window.rolling_s", "1 to 31622400")),
        Kind::Calendar(calendar) => match v1::Calendar::try_from(calendar) {
            Ok(v1::Calendar::Minute) => Ok(Window::Minute),
            Ok(v1::Calendar::Hour) => Ok(Window::Hour),
            Ok(v1::Calendar::Day) => Ok(Window::Day),
            Ok(v1::Calendar::Month) => Ok(Window::Month),
            Ok(v1::Calendar::Unspecified) | Err(_) => Err(invalid(
                "account.window.calendar",
                "one of minute, hour, day, month",
            )),
        },
    }
}

fn key(account: Option<v1::Account>) -> Result<AccountKey, Status> {
    let account = account.ok_or_else(|| invalid("account", "needed"))?;
    let v1::Account {
        scope,
        id,
        meter,
        window,
    } = account;
    Ok(AccountKey {
        scope: self::scope(scope)?,
        id,
        meter: self::meter(meter)?,
        window: self::window(window)?,
    })
}

/// An account; `*` is none.
pub(crate) fn account(account: Option<v1::Account>) -> Result<AccountKey, Status> {
    let key = key(account)?;
    if key.scope == Scope::Tenant {
        not_an_amount(&key)?;
        return if key.id.is_empty() {
            Ok(key)
        } else {
            Err(invalid("account.id", "empty for the tenant's own account"))
        };
    }
    let is_id = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:@+#/".contains(&byte);
    if !(1..=ACCOUNT_ID_BYTES_MAX).contains(&key.id.len()) || !key.id.bytes().all(is_id) {
        return Err(invalid(
            "account.id",
            "1 to 256 of A-Z a-z 0-9 - _ . : @ + # /",
        ));
    }
    not_an_amount(&key)?;
    Ok(key)
}

/// Amounts of different arguments are in different units: they are summed by intents alone.
fn not_an_amount(key: &AccountKey) -> Result<(), Status> {
    match (key.meter, key.scope) {
        (Meter::Amount, Scope::Tenant | Scope::Agent | Scope::Session | Scope::Token) => {
            Err(invalid("account.meter", "amount: of an intent alone"))
        }
        _ => Ok(()),
    }
}

pub(crate) fn rule(rule: v1::Rule) -> Result<command::Rule, Status> {
    let v1::Rule { account, limit } = rule;
    let limit = units("rule.limit", limit)?;
    let each = account.as_ref().is_some_and(|account| account.id == "*");
    let account = if each {
        let account = key(account)?;
        not_an_amount(&account)?;
        account
    } else {
        self::account(account)?
    };
    if account.has_ceiling() || (each && account.scope == Scope::Tenant) {
        return Err(invalid(
            "rule.account",
            "of a tenant, an agent or a session; `*` for the last two",
        ));
    }
    Ok(command::Rule { account, limit })
}

pub(crate) fn want(want: v1::Want) -> Result<command::Want, Status> {
    let v1::Want {
        account,
        wanted,
        minimum,
        ceiling,
    } = want;
    let account = self::account(account)?;
    if !(1..=units("want.wanted", wanted)?).contains(&minimum) {
        return Err(invalid("want.minimum", "1 to `wanted`"));
    }
    let ceiling = ceiling.map(self::ceiling).transpose()?;
    if account.has_ceiling() != ceiling.is_some() {
        return Err(invalid(
            "want.ceiling",
            "needed for tokens and intents, and only for these",
        ));
    }
    Ok(command::Want {
        account,
        wanted,
        minimum,
        ceiling,
    })
}

fn ceiling(ceiling: v1::Ceiling) -> Result<Ceiling, Status> {
    let v1::Ceiling { limit, expires_at } = ceiling;
    let over_at: Timestamp = expires_at
        .parse()
        .map_err(|_| invalid("want.ceiling.expires_at", "an RFC 3339 time"))?;
    let limit = units("want.ceiling.limit", limit)?;
    Ok(Ceiling {
        limit,
        over_at: over_at.into(),
    })
}

pub(crate) fn settlements(
    settle: Vec<v1::Settlement>,
    most: usize,
) -> Result<Vec<command::Settlement>, Status> {
    if settle.len() > most {
        return Err(invalid("settle", &format!("at most {most}")));
    }
    settle.into_iter().map(settlement).collect()
}

fn settlement(settlement: v1::Settlement) -> Result<command::Settlement, Status> {
    let v1::Settlement { lease, spends } = settlement;
    if spends.len() > WANTS_MAX {
        return Err(invalid("settle.spends", "one per account of the lease"));
    }
    let spends = spends.into_iter().map(|spend| {
        let v1::Spend {
            spent,
            returned,
            overrun,
        } = spend;
        Ok(Spend {
            spent: units("spend.spent", spent)?,
            returned: units("spend.returned", returned)?,
            overrun: units("spend.overrun", overrun)?,
        })
    });
    Ok(command::Settlement {
        lease,
        spends: spends.collect::<Result<_, Status>>()?,
    })
}

/// Size of a page.
pub(crate) fn page(limit: u32) -> Result<usize, Status> {
    match limit {
        0 => Ok(PAGE_DEFAULT as usize),
        1..=PAGE_MAX => Ok(limit as usize),
        _ => Err(invalid("limit", "1 to 500")),
    }
}

pub(crate) fn rejected(rejection: Rejection) -> Status {
    match rejection {
        Rejection::RequestReused => {
            Status::already_exists("the request_id was used for another request")
        }
        Rejection::StaleCertificate => {
            Status::permission_denied("the edge has a newer certificate than this one")
        }
        Rejection::NoSuchAccount => Status::not_found("no such account"),
        Rejection::NoSuchLease => Status::not_found("no such lease"),
        Rejection::OutOfRange => Status::failed_precondition(
            "what is spent would be less than 0 or more than can be counted",
        ),
        Rejection::Figures => Status::invalid_argument(
            "spent: one per account, at least what is settled and at most what was granted",
        ),
        Rejection::TooManyAccounts => {
            Status::resource_exhausted("the tenant has too many accounts")
        }
    }
}

fn time(at: LogTime) -> String {
    Timestamp::from(at).to_string()
}

pub(crate) fn account_to_wire(key: AccountKey) -> v1::Account {
    use v1::window::Kind;
    let AccountKey {
        scope,
        id,
        meter,
        window,
    } = key;
    let scope = match scope {
        Scope::Tenant => v1::Scope::Tenant,
        Scope::Agent => v1::Scope::Agent,
        Scope::Session => v1::Scope::Session,
        Scope::Token => v1::Scope::Token,
        Scope::Intent => v1::Scope::Intent,
    };
    let meter = match meter {
        Meter::Calls => v1::Meter::Calls,
        Meter::Tokens => v1::Meter::Tokens,
        Meter::Cost => v1::Meter::Cost,
        Meter::Amount => v1::Meter::Amount,
    };
    let calendar = |calendar: v1::Calendar| Kind::Calendar(calendar.into());
    let kind = match window {
        Window::Lifetime => Kind::Lifetime(v1::Lifetime {}),
        Window::Minute => calendar(v1::Calendar::Minute),
        Window::Hour => calendar(v1::Calendar::Hour),
        Window::Day => calendar(v1::Calendar::Day),
        Window::Month => calendar(v1::Calendar::Month),
        Window::Rolling(secs) => Kind::RollingS(secs),
    };
    v1::Account {
        scope: scope.into(),
        id,
        meter: meter.into(),
        window: Some(v1::Window { kind: Some(kind) }),
    }
}

pub(crate) fn account_info(info: command::AccountInfo) -> v1::AccountInfo {
    let command::AccountInfo {
        account,
        spent,
        leased,
        limit,
        span,
        totals,
    } = info;
    v1::AccountInfo {
        account: Some(account_to_wire(account)),
        spent,
        leased,
        limit,
        window_start: span.map(|(start, _)| time(start)).unwrap_or_default(),
        window_end: span.map(|(_, end)| time(end)).unwrap_or_default(),
        granted_total: totals.granted,
        settled_total: totals.settled,
        returned_total: totals.returned,
        overrun_total: totals.overrun,
        adjusted_total: totals.adjusted,
    }
}

pub(crate) fn lease_info(info: command::LeaseInfo) -> v1::LeaseInfo {
    let command::LeaseInfo {
        lease,
        tenant,
        held,
    } = info;
    let command::Held {
        edge,
        epoch,
        granted_at,
        expires_at,
        parts,
    } = held;
    let accounts = parts.into_iter().map(|part| {
        let command::Part {
            account,
            granted,
            settled,
        } = part;
        v1::LeaseAccount {
            account: Some(account_to_wire(account)),
            granted: granted.unwrap_or(0),
            spent: settled.spent,
            returned: settled.returned,
            unlimited: granted.is_none(),
            overrun: settled.overrun,
        }
    });
    v1::LeaseInfo {
        lease,
        tenant: tenant.to_string(),
        edge: edge.to_string(),
        epoch,
        granted_at: time(granted_at),
        expires_at: time(expires_at),
        accounts: accounts.collect(),
    }
}

pub(crate) fn settled(settled: Vec<command::Settled>) -> Vec<v1::Settled> {
    use v1::settled::State;
    let to_wire = |settled: command::Settled| {
        let state = match settled.state {
            command::Closing::Open => State::Open,
            command::Closing::Closed => State::Closed,
            command::Closing::Gone => State::Gone,
            command::Closing::Fenced => State::Fenced,
            command::Closing::Invalid => State::Invalid,
        };
        v1::Settled {
            lease: settled.lease,
            state: state.into(),
        }
    };
    settled.into_iter().map(to_wire).collect()
}

pub(crate) fn outcome(
    outcome: Result<command::Granted, command::Refused>,
) -> v1::lease_response::Outcome {
    match outcome {
        Ok(command::Granted {
            lease,
            grants,
            ttl_ms,
        }) => {
            let grants = grants.into_iter().map(|grant| v1::Grant {
                units: grant.units,
                left: grant.of.map_or(0, |room| room.left),
                limit: grant.of.map_or(0, |room| room.limit),
                unlimited: grant.of.is_none(),
            });
            let grants = grants.collect();
            v1::lease_response::Outcome::Granted(v1::Granted {
                lease,
                grants,
                ttl_ms,
            })
        }
        Err(command::Refused {
            why,
            want,
            room,
            retry_after_ms,
        }) => v1::lease_response::Outcome::Refused(v1::Refused {
            why: why_to_wire(why).into(),
            want,
            left: room.left,
            limit: room.limit,
            retry_after_ms,
        }),
    }
}

fn why_to_wire(why: Why) -> v1::refused::Why {
    match why {
        Why::Exhausted => v1::refused::Why::Exhausted,
        Why::HeldElsewhere => v1::refused::Why::HeldElsewhere,
        Why::LimitsBehind => v1::refused::Why::LimitsBehind,
        Why::CeilingOver => v1::refused::Why::CeilingOver,
        Why::Fenced => v1::refused::Why::Fenced,
        Why::TooMany => v1::refused::Why::TooMany,
    }
}

//! `/v1/tenants/{tenant}/budgets/…`: limits, prices, what is spent, leases, adjustments.

use crate::Api;
use crate::auth::Principal;
use crate::body::{Body, Expected, Params, Path, bytes, document, etag, next};
use crate::problem::Problem;
use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use proctor_model::budget::{AccountKey, Meter, Scope, Window};
use proctor_proto::v1;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

type Answer = Result<(HeaderMap, Json<Value>), Problem>;

fn answer(stored: &v1::Document) -> Answer {
    Ok((etag(stored.version), Json(document(&stored.document)?)))
}

/// Read the limits
#[utoipa::path(get, path = "/v1/tenants/{tenant}/budgets/limits", tag = "budgets", operation_id = "getLimits",
    responses((status = 200, description = "All ceilings, with their `ETag`", body = Object)))]
pub(crate) async fn get_limits(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
) -> Answer {
    let request = v1::TenantRequest { tenant };
    answer(
        api.control(&principal)?
            .get_limits(request)
            .await?
            .get_ref(),
    )
}

/// Replace the limits
///
/// `{"rules": [{"scope": "agent", "id": "*", "meter": "calls", "window": "day", "limit": 1000}]}`
#[utoipa::path(put, path = "/v1/tenants/{tenant}/budgets/limits", tag = "budgets", operation_id = "putLimits",
    request_body = Object,
    params(("If-Match" = Option<String>, Header, description = "Only if they still have this `ETag`")),
    responses((status = 200, description = "As they are now, with their `ETag`", body = Object)))]
pub(crate) async fn put_limits(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Expected(expected_version): Expected,
    Body(limits): Body<Map<String, Value>>,
) -> Answer {
    let request = put(tenant, limits, expected_version)?;
    answer(
        api.control(&principal)?
            .put_limits(request)
            .await?
            .get_ref(),
    )
}

/// Read the prices
#[utoipa::path(get, path = "/v1/tenants/{tenant}/budgets/prices", tag = "budgets", operation_id = "getPrices",
    responses((status = 200, description = "All prices, with their `ETag`", body = Object)))]
pub(crate) async fn get_prices(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
) -> Answer {
    let request = v1::TenantRequest { tenant };
    answer(
        api.control(&principal)?
            .get_prices(request)
            .await?
            .get_ref(),
    )
}

/// Replace the prices
///
/// `{"currency": "EUR", "tools": {"crm/search": {"per_call": 200}}, "models": {"m-1": {"per_million_input_tokens": 3000000}}}`
#[utoipa::path(put, path = "/v1/tenants/{tenant}/budgets/prices", tag = "budgets", operation_id = "putPrices",
    request_body = Object,
    params(("If-Match" = Option<String>, Header, description = "Only if they still have this `ETag`")),
    responses((status = 200, description = "As they are now, with their `ETag`", body = Object)))]
pub(crate) async fn put_prices(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Expected(expected_version): Expected,
    Body(prices): Body<Map<String, Value>>,
) -> Answer {
    let request = put(tenant, prices, expected_version)?;
    answer(
        api.control(&principal)?
            .put_prices(request)
            .await?
            .get_ref(),
    )
}

fn put(
    tenant: String,
    document: Map<String, Value>,
    expected_version: u64,
) -> Result<v1::PutDocumentRequest, Problem> {
    Ok(v1::PutDocumentRequest {
        tenant,
        id: String::new(),
        document: bytes(&Value::Object(document))?,
        expected_version,
    })
}

/// An account.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Account {
    /// `tenant`, `agent`, `session`, `token` or `intent`
    #[schema(example = "agent")]
    scope: String,
    /// Which one; absent for the tenant
    #[serde(default, skip_serializing_if = "String::is_empty")]
    id: String,
    /// `calls`, `tokens`, `cost`, or of an intent `amount` (millionths)
    #[schema(example = "calls")]
    meter: String,
    /// `lifetime`, `minute`, `hour`, `day`, `month` or `rolling:<seconds>`
    #[schema(example = "day")]
    window: String,
}

impl Account {
    fn of(account: Option<&v1::Account>) -> Result<Self, Problem> {
        let account = account.ok_or_else(Problem::internal)?;
        let account = AccountKey::try_from(account).map_err(|_| Problem::internal())?;
        Ok(Self {
            scope: account.scope.to_string(),
            id: account.id,
            meter: account.meter.to_string(),
            window: account.window.to_string(),
        })
    }

    fn wire(self) -> Result<v1::Account, Problem> {
        let account = AccountKey {
            scope: word::<Scope>("scope", &self.scope)?,
            id: self.id,
            meter: word::<Meter>("meter", &self.meter)?,
            window: word::<Window>("window", &self.window)?,
        };
        Ok((&account).into())
    }
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(
    member: &str,
    text: &str,
) -> Result<T, Problem> {
    text.parse()
        .map_err(|error| Problem::bad_request(format!("{member}: {error}")))
}

/// Which accounts.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    /// Only of this scope
    #[serde(default)]
    scope: String,
    /// Only this one's
    #[serde(default)]
    id: String,
    /// Only this meter
    #[serde(default)]
    meter: String,
    /// Accounts after this one: `next` of the page before
    #[serde(default)]
    after: String,
    /// At most so many, 1 to 500
    #[serde(default)]
    limit: u32,
}

/// What an account came to.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountUsage {
    #[serde(flatten)]
    account: Account,
    /// Spent in the present window
    spent: u64,
    /// Out on leases, and charged until they are settled
    leased: u64,
    /// The limit in force
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
    /// When the calendar window began
    #[serde(skip_serializing_if = "String::is_empty")]
    window_start: String,
    /// When it ends
    #[serde(skip_serializing_if = "String::is_empty")]
    window_end: String,
    /// Over all windows: granted = settled + returned + leased
    granted_total: u64,
    settled_total: u64,
    returned_total: u64,
    /// Real figures that were over the estimate
    overrun_total: u64,
    /// By operators
    adjusted_total: i64,
}

impl AccountUsage {
    fn of(info: v1::AccountInfo) -> Result<Self, Problem> {
        Ok(Self {
            account: Account::of(info.account.as_ref())?,
            spent: info.spent,
            leased: info.leased,
            limit: info.limit,
            window_start: info.window_start,
            window_end: info.window_end,
            granted_total: info.granted_total,
            settled_total: info.settled_total,
            returned_total: info.returned_total,
            overrun_total: info.overrun_total,
            adjusted_total: info.adjusted_total,
        })
    }
}

/// A page of accounts.
#[derive(Serialize, ToSchema)]
pub(crate) struct Usage {
    accounts: Vec<AccountUsage>,
    /// Version of the limits that the counter works by
    limits_version: u64,
    /// As of
    at: String,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// See what is spent
#[utoipa::path(get, path = "/v1/tenants/{tenant}/budgets/usage", tag = "budgets", operation_id = "getBudgetUsage", params(UsageQuery),
    responses((status = 200, description = "A page", body = Usage)))]
pub(crate) async fn usage(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(query): Params<UsageQuery>,
) -> Result<Json<Usage>, Problem> {
    let scope = match query.scope.as_str() {
        "" => v1::Scope::Unspecified,
        text => word::<Scope>("scope", text)?.into(),
    };
    let meter = match query.meter.as_str() {
        "" => v1::Meter::Unspecified,
        text => word::<Meter>("meter", text)?.into(),
    };
    let request = v1::UsageRequest {
        tenant,
        scope: scope.into(),
        id: query.id,
        meter: meter.into(),
        after: query.after,
        limit: query.limit,
    };
    let page = api
        .control(&principal)?
        .budget_usage(request)
        .await?
        .into_inner();
    let accounts = page.accounts.into_iter().map(AccountUsage::of);
    Ok(Json(Usage {
        accounts: accounts.collect::<Result<_, _>>()?,
        limits_version: page.limits_version,
        at: page.at,
        next: next(page.next),
    }))
}

/// Which leases.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct LeasesQuery {
    /// Only this edge's
    #[serde(default)]
    edge: String,
    /// Leases after this one: `next` of the page before
    #[serde(default)]
    after: u64,
    /// At most so many, 1 to 500
    #[serde(default)]
    limit: u32,
}

/// An account's part in a lease.
#[derive(Serialize, ToSchema)]
pub(crate) struct LeaseAccount {
    #[serde(flatten)]
    account: Account,
    granted: u64,
    spent: u64,
    returned: u64,
}

/// A lease that is out.
#[derive(Serialize, ToSchema)]
pub(crate) struct Lease {
    lease: u64,
    edge: String,
    granted_at: String,
    /// Nothing can be drawn on it from then on; what it grants stays charged until it is settled
    expires_at: String,
    accounts: Vec<LeaseAccount>,
}

impl Lease {
    fn of(info: v1::LeaseInfo) -> Result<Self, Problem> {
        let account = |account: &v1::LeaseAccount| {
            Ok(LeaseAccount {
                account: Account::of(account.account.as_ref())?,
                granted: account.granted,
                spent: account.spent,
                returned: account.returned,
            })
        };
        Ok(Self {
            lease: info.lease,
            edge: info.edge,
            granted_at: info.granted_at,
            expires_at: info.expires_at,
            accounts: info
                .accounts
                .iter()
                .map(account)
                .collect::<Result<_, Problem>>()?,
        })
    }
}

/// A page of leases.
#[derive(Serialize, ToSchema)]
pub(crate) struct Leases {
    leases: Vec<Lease>,
    /// `after` of the next page
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

/// List the leases that are out
#[utoipa::path(get, path = "/v1/tenants/{tenant}/budgets/leases", tag = "budgets", operation_id = "listLeases", params(LeasesQuery),
    responses((status = 200, description = "A page", body = Leases)))]
pub(crate) async fn leases(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Params(query): Params<LeasesQuery>,
) -> Result<Json<Leases>, Problem> {
    let request = v1::LeasesRequest {
        tenant,
        edge: query.edge,
        after: query.after,
        limit: query.limit,
    };
    let page = api
        .control(&principal)?
        .budget_leases(request)
        .await?
        .into_inner();
    Ok(Json(Leases {
        leases: page
            .leases
            .into_iter()
            .map(Lease::of)
            .collect::<Result<_, _>>()?,
        next: Some(page.next).filter(|next| *next > 0),
    }))
}

/// A charge or a credit.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAdjustment {
    account: Account,
    /// Added to what is spent: positive charges, negative credits
    #[schema(example = -100)]
    units: i64,
    /// Names this adjustment, so that sending it again (the answer was lost) does not count again; kept for 90 days
    #[serde(default)]
    #[schema(value_type = Option<String>, format = "uuid")]
    id: Option<uuid::Uuid>,
    /// Why, for the books
    reason: String,
}

/// Charge or credit an account
#[utoipa::path(post, path = "/v1/tenants/{tenant}/budgets/adjustments", tag = "budgets", operation_id = "adjustBudget",
    request_body = NewAdjustment,
    responses((status = 200, description = "The account as it is now", body = AccountUsage)))]
pub(crate) async fn adjust(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path(tenant): Path<String>,
    Body(adjustment): Body<NewAdjustment>,
) -> Result<Json<AccountUsage>, Problem> {
    let id = adjustment.id.map(|id| id.as_bytes().to_vec());
    let request = v1::AdjustRequest {
        request_id: id.unwrap_or_default(),
        tenant,
        account: Some(adjustment.account.wire()?),
        units: adjustment.units,
        reason: adjustment.reason,
    };
    let adjusted = api
        .control(&principal)?
        .adjust_budget(request)
        .await?
        .into_inner();
    let account = adjusted.account.ok_or_else(Problem::internal)?;
    Ok(Json(AccountUsage::of(account)?))
}

/// How to close a lease whose edge will not come back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewWriteOff {
    /// What counts as spent, for each account of the lease; absent: all of it
    #[serde(default)]
    spent: Vec<u64>,
    /// Why, for the books
    reason: String,
}

/// Close a lease of an edge that will not come back
#[utoipa::path(post, path = "/v1/tenants/{tenant}/budgets/leases/{lease}/write-off", tag = "budgets", operation_id = "writeOffLease",
    request_body = NewWriteOff,
    responses((status = 200, description = "The lease as it was", body = Lease)))]
pub(crate) async fn write_off(
    State(api): State<Arc<Api>>,
    principal: Principal,
    Path((tenant, lease)): Path<(String, u64)>,
    Body(write_off): Body<NewWriteOff>,
) -> Result<Json<Lease>, Problem> {
    let request = v1::WriteOffRequest {
        request_id: Vec::new(),
        tenant,
        lease,
        spent: write_off.spent,
        reason: write_off.reason,
    };
    let closed = api
        .control(&principal)?
        .write_off_lease(request)
        .await?
        .into_inner();
    let lease = closed.lease.ok_or_else(Problem::internal)?;
    Ok(Json(Lease::of(lease)?))
}

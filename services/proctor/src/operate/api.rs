//! A small client of the admin API.

use super::settings::{ApiArgs, secret, setting};
use anyhow::{Context, bail};
use reqwest::Method;
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use std::time::Duration;

/// The admin API with a key.
pub(crate) struct Api {
    http: reqwest::Client,
    base: String,
    key: SecretString,
    tenant: String,
}

impl Api {
    /// From flags, environment or the development file.
    pub(crate) fn from_args(args: &ApiArgs) -> anyhow::Result<Self> {
        let base = setting(args.api_url.as_deref(), "PROCTOR_API_URL")?;
        let tenant = setting(args.tenant.as_deref(), "PROCTOR_TENANT")?;
        Self::new(base, secret("PROCTOR_ADMIN_KEY")?, tenant)
    }

    pub(crate) fn new(base: String, key: SecretString, tenant: String) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder()
            .no_proxy()
            .timeout(Duration::from_secs(60))
            .build()?;
        Ok(Self {
            http,
            base: base.trim_end_matches('/').to_owned(),
            key,
            tenant,
        })
    }

    /// Sends to `/v1/tenants/{tenant}/{path}`.
    pub(crate) async fn tenant(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        self.send(method, &format!("/v1/tenants/{}/{path}", self.tenant), body)
            .await
    }

    /// Gets something long from `/v1/tenants/{tenant}/{path}`; without a limit in time.
    pub(crate) async fn download(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}/v1/tenants/{}/{path}", self.base, self.tenant);
        let url =
            reqwest::Url::parse_with_params(&url, query).context("the admin API's address")?;
        let response = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(60))
            .build()?
            .get(url)
            .bearer_auth(self.key.expose_secret())
            .send()
            .await
            .context("the admin API can't be reached")?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let problem: Value = response.json().await.unwrap_or_default();
        let text = |key: &str| problem.get(key).and_then(Value::as_str).unwrap_or_default();
        bail!("{} {}: {}", status.as_u16(), text("title"), text("detail"))
    }

    /// Sends to a path of the API; an error answer becomes an error with the problem's own words.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.base))
            .bearer_auth(self.key.expose_secret());
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request
            .send()
            .await
            .context("the admin API can't be reached")?;
        let status = response.status();
        let bytes = response
            .bytes()
            .await
            .context("the admin API's answer broke off")?;
        let value: Value = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).context("the admin API's answer is not JSON")?
        };
        if status.is_success() {
            return Ok(value);
        }
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default();
        bail!("{} {}: {}", status.as_u16(), text("title"), text("detail"))
    }
}

/// Prints a value as indented JSON.
pub(crate) fn print_json(value: &Value) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

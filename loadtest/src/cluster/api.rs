//! Requests to the admin API, and to the edge whether it would allow a call.

use super::{Cluster, START};
use anyhow::{Context, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

impl Cluster {
    /// Text from the admin API, as it is.
    ///
    /// # Errors
    /// If it can't be reached or refuses.
    pub async fn download(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = self.http.get(format!("{}{path}", self.api_url));
        let response = request.bearer_auth(&self.admin_key).send().await?;
        let status = response.status();
        let bytes = response.bytes().await?;
        if !status.is_success() {
            bail!("{path}: {status} {}", String::from_utf8_lossy(&bytes));
        }
        Ok(bytes.to_vec())
    }

    /// A request to the admin API with the platform key.
    ///
    /// # Errors
    /// If it can't be reached or refuses.
    pub async fn api(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        self.api_as(&self.admin_key, method, path, body).await
    }

    /// A request to the admin API with another key.
    ///
    /// # Errors
    /// If it can't be reached or refuses.
    pub async fn api_as(
        &self,
        key: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.api_url))
            .bearer_auth(key);
        if let Some(body) = &body {
            request = request.json(body);
        }
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        if !status.is_success() {
            bail!("{path}: {status} {text}");
        }
        Ok(if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text)?
        })
    }

    /// A new API key of the tenant with one role.
    ///
    /// # Errors
    /// If the admin API refuses.
    pub async fn key(&self, role: &str) -> anyhow::Result<String> {
        let body = json!({ "name": role, "roles": [role] });
        let made = self.acme(Method::POST, "api-keys", Some(body)).await?;
        Ok(made["key"].as_str().context("the key")?.to_owned())
    }

    /// A request below `/v1/tenants/acme/`.
    ///
    /// # Errors
    /// If it can't be reached or refuses.
    pub async fn acme(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        self.api(method, &format!("/v1/tenants/acme/{path}"), body)
            .await
    }

    /// Waits until a call with this token is allowed, by asking only.
    ///
    /// # Errors
    /// If it never is; says what the edge answered last.
    pub async fn wait_allowed(
        &self,
        token: &str,
        agent: &str,
        tool: &str,
        arguments: Value,
    ) -> anyhow::Result<()> {
        let question = json!({
            "subject": { "type": "agent", "id": agent },
            "action": { "name": "call" },
            "resource": { "type": "tool", "id": tool, "properties": { "arguments": arguments } },
        });
        let (started, mut last) = (Instant::now(), Value::Null);
        while started.elapsed() < START {
            let url = format!("{}/access/v1/evaluation", self.edge_url);
            if let Ok(answer) = self
                .http
                .post(url)
                .bearer_auth(token)
                .json(&question)
                .send()
                .await
            {
                last = answer.json().await.unwrap_or_default();
            }
            if last["decision"] == true {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        bail!("{tool} is not allowed: {last}")
    }
}

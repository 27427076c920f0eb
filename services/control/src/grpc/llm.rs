//! What the one server of LLM providers may be.

use super::documents::{check_exchange, check_url};
use crate::caller::Caller;
use proctor_model::ServerId;
use proctor_model::catalogue::{
    LLM_SERVER, LlmModel, LlmProvider, ToolServer, Upstream, UpstreamAuth,
};
use proctor_model::principal::Right;
use std::collections::BTreeMap;
use tonic::Status;

/// Most providers of a tenant.
const PROVIDERS_MAX: usize = 32;
/// Most models that stand in for one.
const FAIL_OVER_MAX: usize = 3;
/// Longest pause within a stream, milliseconds.
const IDLE_MS_MAX: u32 = 600_000;

/// Models are tools of `llm` alone, each of a provider that is there.
pub(super) fn check(caller: &Caller, server: &ToolServer) -> Result<(), Status> {
    let wrong = |what: String| Err(Status::invalid_argument(what));
    let of_providers = server.id.as_str() == LLM_SERVER;
    let Upstream::Llm { providers } = &server.upstream else {
        if of_providers {
            return wrong(format!("id: {LLM_SERVER} is the server of kind llm"));
        }
        return match server.tools.iter().position(|entry| entry.llm.is_some()) {
            None => Ok(()),
            Some(at) => wrong(format!(
                "tools[{at}].llm: only tools of {LLM_SERVER} are models"
            )),
        };
    };
    if !of_providers {
        return wrong(format!("id: the server of kind llm is {LLM_SERVER}"));
    }
    if providers.len() > PROVIDERS_MAX {
        return wrong(format!("upstream.providers: at most {PROVIDERS_MAX}"));
    }
    for (id, provider) in providers {
        check_provider(caller, id, provider)?;
    }
    for (at, entry) in server.tools.iter().enumerate() {
        let name = entry.definition.name.as_str();
        let Some(model) = &entry.llm else {
            return wrong(format!("tools[{at}].llm: what makes it a model"));
        };
        let Some(provider) = provider_of(name, providers) else {
            return wrong(format!("tools[{at}].definition.name: <provider>/<model>"));
        };
        check_model(at, model, provider, server, providers)?;
    }
    Ok(())
}

fn provider_of<'p>(
    name: &str,
    providers: &'p BTreeMap<ServerId, LlmProvider>,
) -> Option<&'p LlmProvider> {
    let (id, model) = name.split_once('/')?;
    let id: ServerId = id.parse().ok()?;
    providers.get(&id).filter(|_| !model.is_empty())
}

fn check_provider(caller: &Caller, id: &ServerId, provider: &LlmProvider) -> Result<(), Status> {
    let member = |name: &str| format!("upstream.providers.{id}.{name}");
    check_url(&member("url"), &provider.url)?;
    if provider.url.contains('?') {
        return Err(Status::invalid_argument(format!(
            "{}: no query",
            member("url")
        )));
    }
    if !(1..=IDLE_MS_MAX).contains(&provider.idle_timeout_ms) {
        return Err(Status::invalid_argument(format!(
            "{}: 1 to {IDLE_MS_MAX}",
            member("idle_timeout_ms")
        )));
    }
    // The edge's own network is the platform's.
    if provider.private_addresses {
        caller.platform(Right::WriteEdges).map_err(|_| {
            Status::permission_denied(
                "upstream: a provider in the edges' own network is registered with a platform key",
            )
        })?;
    }
    match &provider.auth {
        None => Ok(()),
        Some(UpstreamAuth::Header { name, prefix, .. }) => {
            let known = ["authorization", "x-api-key", "api-key"];
            let plain = prefix.bytes().all(|byte| matches!(byte, b' '..=b'~'));
            match plain && known.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                true => Ok(()),
                false => Err(Status::invalid_argument(format!(
                    "{}: authorization, x-api-key or api-key, with a prefix of printable ASCII",
                    member("auth")
                ))),
            }
        }
        Some(UpstreamAuth::OauthClientCredentials { token_url, .. }) => {
            check_url(&member("auth.token_url"), token_url)
        }
        Some(exchange @ UpstreamAuth::OauthTokenExchange { .. }) => {
            check_exchange(&member("auth"), exchange)
        }
    }
}

fn check_model(
    at: usize,
    model: &LlmModel,
    provider: &LlmProvider,
    server: &ToolServer,
    providers: &BTreeMap<ServerId, LlmProvider>,
) -> Result<(), Status> {
    let wrong = |what: &str| Err(Status::invalid_argument(format!("tools[{at}].llm.{what}")));
    if model.output_tokens_max == Some(0) {
        return wrong("output_tokens_max: at least 1");
    }
    let named = model.model.as_deref();
    if named.is_some_and(|name| name.is_empty() || name.len() > 256) {
        return wrong("model: 1 to 256 bytes");
    }
    if model.fail_over.len() > FAIL_OVER_MAX {
        return wrong("fail_over: at most 3");
    }
    let known = |name: &proctor_model::ToolName| {
        let speaks = provider_of(name.as_str(), providers).map(|other| other.dialect);
        let listed = server
            .tools
            .iter()
            .any(|tool| tool.definition.name == *name);
        listed && speaks == Some(provider.dialect)
    };
    match model.fail_over.iter().all(known) {
        true => Ok(()),
        false => wrong("fail_over: models of this server, of the same dialect"),
    }
}

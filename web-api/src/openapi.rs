//! The OpenAPI document, made from the handlers.

use crate::problem::Problem;
use crate::{Api, routes};
use axum::Router;
use std::sync::Arc;
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{OpenApi as _, ToSchema};

#[derive(utoipa::OpenApi)]
#[openapi(
    info(title = "Proctor admin API", description = "Tenants, agents, tool servers, tokens, intents, policies, audit, edges."),
    components(schemas(Problem)),
    tags(
        (name = "tenants", description = "Who uses this installation"),
        (name = "agents", description = "Who makes calls"),
        (name = "tool-servers", description = "What is called, with the catalogue of tools"),
        (name = "secrets", description = "Credentials for tool servers and LLM providers, sealed to the edges: `/v1/tenants/{tenant}/secrets`"),
        (name = "content-rules", description = "What is looked for in arguments, prompts and answers, and what is done about it: `/v1/tenants/{tenant}/content-rules`"),
        (name = "policies", description = "Rego policies: versions, activation, roll-back"),
        (name = "tokens", description = "Capability tokens, their keys and revocations"),
        (name = "issuers", description = "Identity providers whose tokens are exchanged for capability tokens: `/v1/tenants/{tenant}/issuers`"),
        (name = "intents", description = "What users asked for"),
        (name = "approvals", description = "Calls that wait for a person"),
        (name = "kill-switches", description = "What is stopped at once, on every edge"),
        (name = "budgets", description = "Ceilings, prices, what is spent, leases: `/v1/tenants/{tenant}/budgets`"),
        (name = "audit", description = "The tenant's tamper-evident chain"),
        (name = "memory", description = "Who wrote what agents remember"),
        (name = "api-keys", description = "Keys of this API"),
        (name = "edges", description = "Gateways"),
    )
)]
struct Base;

/// The routes, and the document.
pub(crate) fn parts() -> (Router<Arc<Api>>, OpenApi) {
    let (router, mut document) = routes::router(Base::openapi()).split_for_parts();
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("An API key (`pak_…`)"))
        .build();
    if let Some(components) = &mut document.components {
        components.add_security_scheme("api_key", SecurityScheme::Http(key));
    }
    document.security = Some(vec![SecurityRequirement::new(
        "api_key",
        Vec::<String>::new(),
    )]);
    for item in document.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.put,
            &mut item.post,
            &mut item.patch,
            &mut item.delete,
        ];
        operations.into_iter().flatten().for_each(with_problem);
    }
    (router, document)
}

/// Every operation may answer with a problem.
fn with_problem(operation: &mut Operation) {
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(Problem::name())))
        .build();
    let response = ResponseBuilder::new()
        .description("What was wrong (RFC 9457)")
        .content("application/problem+json", content)
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), RefOr::T(response));
}

/// The OpenAPI document as text, with a newline at the end.
#[must_use]
pub fn document() -> String {
    let mut text = parts().1.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

//! The resources, one module each.

mod approvals;
mod audit;
mod audit_log;
mod budgets;
mod content;
mod documents;
mod edges;
mod intents;
mod issuers;
mod keys;
mod kill;
mod memory;
mod openapi;
mod policies;
mod secrets;
mod tenants;
mod tokens;

use crate::Api;
use std::sync::Arc;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) fn router(base: OpenApi) -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(base)
        .routes(routes!(tenants::list, tenants::create))
        .routes(routes!(tenants::get, tenants::update))
        .routes(routes!(documents::list_agents))
        .routes(routes!(
            documents::get_agent,
            documents::put_agent,
            documents::delete_agent
        ))
        .routes(routes!(documents::list_servers))
        .routes(routes!(
            documents::get_server,
            documents::put_server,
            documents::delete_server
        ))
        .routes(routes!(documents::server_drift))
        .routes(routes!(documents::approve_definition))
        .routes(routes!(openapi::import))
        .routes(routes!(issuers::list))
        .routes(routes!(issuers::get, issuers::put, issuers::delete))
        .routes(routes!(policies::list))
        .routes(routes!(policies::put))
        .routes(routes!(policies::get))
        .routes(routes!(policies::activate))
        .routes(routes!(policies::deactivate))
        .routes(routes!(tokens::mint))
        .routes(routes!(tokens::list_revocations, tokens::revoke))
        .routes(routes!(tokens::list_keys))
        .routes(routes!(tokens::rotate))
        .routes(routes!(intents::declare))
        .routes(routes!(intents::get))
        .routes(routes!(content::get, content::put, content::delete))
        .routes(routes!(content::test))
        .routes(routes!(secrets::list))
        .routes(routes!(secrets::put, secrets::delete))
        .routes(routes!(intents::extract))
        .routes(routes!(approvals::list))
        .routes(routes!(approvals::get))
        .routes(routes!(approvals::approve))
        .routes(routes!(approvals::deny))
        .routes(routes!(kill::list, kill::engage))
        .routes(routes!(kill::release))
        .routes(routes!(
            kill::list_platform,
            kill::engage_platform,
            kill::release_platform
        ))
        .routes(routes!(budgets::get_limits, budgets::put_limits))
        .routes(routes!(budgets::get_prices, budgets::put_prices))
        .routes(routes!(budgets::usage))
        .routes(routes!(budgets::leases))
        .routes(routes!(budgets::write_off))
        .routes(routes!(budgets::adjust))
        .routes(routes!(audit::search))
        .routes(routes!(audit::stream))
        .routes(routes!(audit::head))
        .routes(routes!(audit::verify))
        .routes(routes!(audit_log::entry))
        .routes(routes!(audit_log::checkpoints))
        .routes(routes!(audit_log::consistency))
        .routes(routes!(audit_log::keys))
        .routes(routes!(audit_log::export))
        .routes(routes!(audit_log::checkpoint))
        .routes(routes!(audit_log::tile))
        .routes(routes!(memory::list))
        .routes(routes!(memory::lineage))
        .routes(routes!(memory::name))
        .routes(routes!(keys::list, keys::create))
        .routes(routes!(keys::delete))
        .routes(routes!(keys::list_platform, keys::create_platform))
        .routes(routes!(keys::delete_platform))
        .routes(routes!(edges::list))
        .routes(routes!(edges::join_token))
        .routes(routes!(edges::assign, edges::remove))
}

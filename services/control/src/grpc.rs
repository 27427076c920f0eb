//! The operations, as gRPC: who calls, parse, one transaction, an audit event, wake the publisher.

mod approvals;
mod content;
pub(crate) mod documents;
mod intents;
mod issuers;
mod llm;
mod openapi;
mod place;
mod platform;
mod policies;

use crate::State;
use crate::budgets;
use crate::caller::Caller;
use crate::store::objects::Kind;
use proctor_proto::v1;
use proctor_proto::v1::control_server::Control;
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The control service.
pub(crate) struct Service(pub(crate) Arc<State>);

/// Each operation is a function `(state, caller, request) -> Result<response, ControlError>`.
macro_rules! operations {
    ($($name:ident($request:ident) -> $response:ident = $operation:expr;)+) => {
        #[tonic::async_trait]
        impl Control for Service {
            async fn authenticate(
                &self, request: Request<v1::AuthenticateRequest>,
            ) -> Result<Response<v1::AuthenticateResponse>, Status> {
                Ok(Response::new(platform::authenticate(&self.0, request.into_inner()).await?))
            }
            $(
                async fn $name(&self, request: Request<v1::$request>) -> Result<Response<v1::$response>, Status> {
                    let caller = Caller::of(&self.0, &request)?;
                    let (state, request) = (&*self.0, request.into_inner());
                    let done: Result<v1::$response, crate::error::ControlError> = ($operation)(state, &caller, request).await;
                    Ok(Response::new(done?))
                }
            )+
        }
    };
}

operations! {
    create_tenant(CreateTenantRequest) -> Tenant = platform::create_tenant;
    get_tenant(TenantRequest) -> Tenant = platform::get_tenant;
    list_tenants(ListRequest) -> ListTenantsResponse = platform::list_tenants;
    update_tenant(UpdateTenantRequest) -> Tenant = platform::update_tenant;
    put_agent(PutDocumentRequest) -> Document = documents::put_agent;
    get_agent(ObjectRequest) -> Document = async |s, c, r| documents::get(s, c, Kind::Agent, r).await;
    list_agents(ListRequest) -> ListDocumentsResponse = async |s, c, r| documents::list(s, c, Kind::Agent, r).await;
    delete_agent(ObjectRequest) -> Empty = async |s, c, r| documents::delete(s, c, Kind::Agent, r).await;
    put_server(PutDocumentRequest) -> Document = documents::put_server;
    get_server(ObjectRequest) -> Document = async |s, c, r| documents::get(s, c, Kind::Server, r).await;
    list_servers(ListRequest) -> ListDocumentsResponse = async |s, c, r| documents::list(s, c, Kind::Server, r).await;
    delete_server(ObjectRequest) -> Empty = async |s, c, r| documents::delete(s, c, Kind::Server, r).await;
    put_issuer(PutDocumentRequest) -> Document = issuers::put;
    get_issuer(ObjectRequest) -> Document = async |s, c, r| documents::get(s, c, Kind::Issuer, r).await;
    list_issuers(ListRequest) -> ListDocumentsResponse = async |s, c, r| documents::list(s, c, Kind::Issuer, r).await;
    delete_issuer(ObjectRequest) -> Empty = async |s, c, r| documents::delete(s, c, Kind::Issuer, r).await;
    put_policy(PutDocumentRequest) -> PolicyVersion = policies::put;
    get_policy_version(PolicyVersionRequest) -> PolicyVersion = policies::get_version;
    list_policies(ListRequest) -> ListPoliciesResponse = policies::list;
    activate_policy(ActivatePolicyRequest) -> PolicyVersion = policies::activate;
    deactivate_policy(ObjectRequest) -> Empty = policies::deactivate;
    mint_token(MintTokenRequest) -> MintTokenResponse = crate::mint::mint;
    revoke(RevokeRequest) -> RevokeResponse = crate::revoke::revoke;
    list_revocations(ListRequest) -> ListRevocationsResponse = crate::revoke::list;
    rotate_key(RotateKeyRequest) -> TokenKeyInfo = crate::keys::rotate;
    list_keys(ListRequest) -> ListKeysResponse = async |s, c, r: v1::ListRequest| crate::keys::list(s, c, &r.tenant).await;
    declare_intent(DeclareIntentRequest) -> Document = intents::declare;
    get_intent(ObjectRequest) -> Document = intents::get;
    put_content_rules(PutDocumentRequest) -> Document = content::put;
    get_content_rules(ObjectRequest) -> Document = content::get;
    delete_content_rules(ObjectRequest) -> Empty = content::delete;
    test_content_rules(TestContentRulesRequest) -> TestContentRulesResponse = content::test;
    put_secret(PutSecretRequest) -> SecretInfo = crate::secrets::put;
    server_drift(ObjectRequest) -> Document = crate::sightings::drift;
    import_open_api(ImportOpenApiRequest) -> ImportOpenApiResponse = openapi::import;
    approve_definition(ApproveDefinitionRequest) -> Document = crate::sightings::approve;
    list_secrets(ListRequest) -> ListSecretsResponse = crate::secrets::list;
    delete_secret(ObjectRequest) -> Empty = crate::secrets::delete;
    extract_intent(ExtractIntentRequest) -> ExtractIntentResponse = crate::extract::extract;
    list_approvals(ListApprovalsRequest) -> ListApprovalsResponse = approvals::list;
    get_approval(ObjectRequest) -> Approval = approvals::get;
    decide_approval(DecideApprovalRequest) -> Approval = approvals::decide;
    engage_kill(KillRequest) -> KillSwitch = crate::kill::engage;
    release_kill(KillRequest) -> Empty = crate::kill::release;
    list_kills(TenantRequest) -> ListKillsResponse = crate::kill::list;
    get_limits(TenantRequest) -> Document = async |s, c, r| budgets::document(s, c, Kind::Limits, r).await;
    put_limits(PutDocumentRequest) -> Document = budgets::put_limits;
    get_prices(TenantRequest) -> Document = async |s, c, r| budgets::document(s, c, Kind::Prices, r).await;
    put_prices(PutDocumentRequest) -> Document = budgets::put_prices;
    budget_usage(UsageRequest) -> UsageResponse = budgets::usage;
    budget_leases(LeasesRequest) -> LeasesResponse = budgets::leases;
    adjust_budget(AdjustRequest) -> AdjustResponse = budgets::adjust;
    write_off_lease(WriteOffRequest) -> WriteOffResponse = budgets::write_off;
    create_api_key(CreateApiKeyRequest) -> CreateApiKeyResponse = platform::create_api_key;
    list_api_keys(ListRequest) -> ListApiKeysResponse = platform::list_api_keys;
    delete_api_key(ObjectRequest) -> Empty = platform::delete_api_key;
    create_join_token(CreateJoinTokenRequest) -> CreateJoinTokenResponse = crate::enrol::create_join_token;
    list_edges(ListRequest) -> ListEdgesResponse = crate::enrol::list;
    assign_edge(AssignEdgeRequest) -> Edge = crate::enrol::assign;
    remove_edge(ObjectRequest) -> Empty = crate::enrol::remove;
    name_memory_item(NameMemoryItemRequest) -> NameMemoryItemResponse = crate::memory::name;
}

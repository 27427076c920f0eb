//! Tool servers of kind `http` from OpenAPI documents: read, checked and put as any other, or only tried.

use super::documents::{self, compiling, parse, to_value};
use crate::State;
use crate::caller::Caller;
use crate::error::ControlError;
use crate::store::objects::{self, Kind};
use crate::store::tenants::check_fits;
use proctor_engine::definition::{Finding, hold_back};
use proctor_engine::openapi::{self, Answers, OpenApiError};
use proctor_model::catalogue::{ToolServer, Upstream, UpstreamAuth, UpstreamTls};
use proctor_model::principal::Right;
use proctor_model::{ServerId, TenantId, ToolName};
use proctor_proto::v1;
use serde::Deserialize;
use serde_json::{Value, json};
use std::error::Error;
use tonic::Status;

/// Most characters of a refusal: texts of the document are in it.
const REFUSAL_CHARS_MAX: usize = 500;

/// What a document does not say of its server.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// Absent: the first of the document's servers.
    url: Option<String>,
    auth: Option<UpstreamAuth>,
    tls: Option<UpstreamTls>,
    #[serde(default)]
    private_addresses: bool,
    timeout_ms: Option<u32>,
    result_bytes_max: Option<u32>,
    /// Whether tools declare what they answer, and are held to it.
    #[serde(default)]
    output_schemas: bool,
}

impl Settings {
    fn answers(&self) -> Answers {
        match self.output_schemas {
            true => Answers::Declared,
            false => Answers::Undeclared,
        }
    }
}

pub(super) async fn import(
    state: &State,
    caller: &Caller,
    request: v1::ImportOpenApiRequest,
) -> Result<v1::ImportOpenApiResponse, ControlError> {
    let tenant = caller.tenant(&request.tenant, Right::WriteServers)?;
    let settings: Settings = parse("the settings", &request.settings)?;
    let (text, answers) = (request.openapi, settings.answers());
    let reading = move || openapi::read(&text, answers).map_err(|error| refusal(&error));
    let mut read = compiling(reading).await?;
    for tool in &mut read.tools {
        tool.approved_by = Some(caller.id().to_owned());
    }
    let held = match request.accept_findings {
        true => Vec::new(),
        false => hold_back(&mut read.tools),
    };
    let url = settings.url.or(read.server);
    let url = url.ok_or_else(|| {
        Status::invalid_argument(
            "url: it has to be given, as the document names no absolute server",
        )
    })?;
    let id: ServerId = request
        .id
        .parse()
        .map_err(|error| Status::invalid_argument(format!("id: {error}")))?;
    let upstream = Upstream::Http {
        url,
        auth: settings.auth,
        tls: settings.tls,
        private_addresses: settings.private_addresses,
    };
    let mut server = ToolServer::new(id, upstream);
    server.timeout_ms = settings.timeout_ms.unwrap_or(server.timeout_ms);
    server.result_bytes_max = settings.result_bytes_max.unwrap_or(server.result_bytes_max);
    server.tools = read.tools;
    documents::check_server(state, caller, &tenant, &mut server).await?;
    let put = v1::PutDocumentRequest {
        tenant: request.tenant,
        id: request.id,
        document: Vec::new(),
        expected_version: request.expected_version,
    };
    let document = to_value(&server)?;
    let stored = match request.dry_run {
        true => tried(state, &tenant, &put, document).await?,
        false => {
            let right = Right::WriteServers;
            documents::put(state, caller, Kind::Server, &put, document, right).await?
        }
    };
    Ok(v1::ImportOpenApiResponse {
        server: Some(stored),
        left_out: read.left_out,
        held_back: held.into_iter().map(held_definition).collect(),
    })
}

/// The server as it would be, if everything lets it; nothing is changed.
async fn tried(
    state: &State,
    tenant: &TenantId,
    request: &v1::PutDocumentRequest,
    document: Value,
) -> Result<v1::Document, ControlError> {
    let mut tx = state.store.tenant(tenant).await?;
    let expected = request.expected_version;
    let put = objects::put(&mut tx, Kind::Server, &request.id, document, expected).await?;
    check_fits(&mut tx, state).await?;
    // Not committed: the transaction ends with this function.
    Ok(put)
}

/// What was wrong with the document, and where.
fn refusal(error: &OpenApiError) -> String {
    let cause = error.source().map(|cause| format!(": {cause}"));
    let whole = format!("the document: {error}{}", cause.unwrap_or_default());
    whole.chars().take(REFUSAL_CHARS_MAX).collect()
}

fn held_definition((tool, finding): (ToolName, Finding)) -> v1::HeldDefinition {
    v1::HeldDefinition {
        tool: tool.to_string(),
        oddity: json!(finding.oddity)
            .as_str()
            .unwrap_or_default()
            .to_owned(),
        at: finding.at,
    }
}
